//! Sparse files: GNU's old format in the header, and its three pax formats.

use super::fields::{decimal, text, unsigned};
use super::header::BLOCK;
use super::{Fault, MAX_EXTENSION, Segment};

/// A pair in the old format: two numbers of twelve bytes.
const PAIR: usize = 24;

/// What pax records say about a sparse file.
#[derive(Clone, Debug, Default)]
pub struct PaxSparse {
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    real_size: Option<u64>,
    /// The file's name, where `path` has one made up for readers that know nothing of this.
    pub name: Option<Vec<u8>>,
    /// Offsets and lengths in turns: format 0.0 and 0.1.
    numbers: Option<Vec<u64>>,
}

/// Where the map of a pax sparse file is.
pub enum PaxMap {
    /// It came with the records.
    Known { size: u64, map: Vec<Segment> },
    /// It comes before the data: format 1.0.
    InData { size: u64 },
}

impl PaxSparse {
    /// Takes in the record `GNU.sparse.FIELD`.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> Result<(), Fault> {
        let number = || decimal(value).ok_or_else(|| Fault::rule("a sparse map's number is none"));
        match field {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"size" => self.size = Some(number()?),
            b"realsize" => self.real_size = Some(number()?),
            b"name" if value.is_empty() || value.contains(&0) => {
                return Err(Fault::rule(
                    "a sparse file's name is empty or has a NUL in it",
                ));
            }
            b"name" => self.name = Some(value.to_vec()),
            b"offset" | b"numbytes" => {
                let numbers = self.numbers.get_or_insert_default();
                if numbers.len().is_multiple_of(2) != (field == b"offset") {
                    return Err(Fault::rule(
                        "a sparse map's offsets and lengths do not alternate",
                    ));
                }
                numbers.push(number()?);
            }
            b"map" => {
                let all = value.split(|byte| *byte == b',').map(decimal).collect();
                let all: Option<Vec<u64>> = if value.is_empty() { Some(vec![]) } else { all };
                self.numbers = Some(all.ok_or_else(|| Fault::rule("a sparse map is malformed"))?);
            }
            // numblocks: how many there are is seen.
            _ => {}
        }
        Ok(())
    }

    /// What kind of sparse file it is, if any.
    pub fn map(&self) -> Result<Option<PaxMap>, Fault> {
        let size = self.real_size.or(self.size);
        match (self.major, self.minor, &self.numbers, size) {
            (Some(1), Some(0), _, Some(size)) => Ok(Some(PaxMap::InData { size })),
            (None | Some(0), _, Some(numbers), Some(size)) => {
                let map = pairs(numbers)?;
                Ok(Some(PaxMap::Known { size, map }))
            }
            (None, None, None, None) => Ok(None),
            _ => Err(Fault::rule("a sparse file of an unknown format")),
        }
    }
}

fn pairs(numbers: &[u64]) -> Result<Vec<Segment>, Fault> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::rule("a sparse map ends in the middle of a pair"));
    }
    let segment = |[offset, len]: &[u64; 2]| Segment {
        offset: *offset,
        len: *len,
    };
    Ok(pairs.iter().map(segment).collect())
}

/// Pairs of the old format, until one that is not used.
pub fn gnu_pairs(field: &[u8], map: &mut Vec<Segment>) -> Result<(), Fault> {
    for pair in field.chunks_exact(PAIR) {
        if text(pair).is_empty() {
            break;
        }
        map.push(Segment {
            offset: unsigned(&pair[..PAIR / 2], "a sparse map's offset")?,
            len: unsigned(&pair[PAIR / 2..], "a sparse map's length")?,
        });
        if map.len() as u64 * PAIR as u64 > MAX_EXTENSION {
            return Err(too_long());
        }
    }
    Ok(())
}

/// A block of the old format's continuation: 21 pairs, and whether another block follows.
pub fn gnu_extension(block: &[u8; BLOCK]) -> (&[u8], bool) {
    (&block[..21 * PAIR], block[21 * PAIR] != 0)
}

/// Reads the map of format 1.0, line by line, as `more` gives blocks of it.
pub fn map_in_data(
    mut more: impl FnMut() -> Result<[u8; BLOCK], Fault>,
) -> Result<Vec<Segment>, Fault> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut wanted = None;
    let mut line: Vec<u8> = Vec::new();
    let mut read = 0;
    loop {
        read += BLOCK as u64;
        if read > MAX_EXTENSION {
            return Err(too_long());
        }
        for byte in more()? {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let number = decimal(&line).ok_or_else(|| Fault::rule("a sparse map is malformed"))?;
            line.clear();
            match wanted {
                None => wanted = Some(number.checked_mul(2).ok_or_else(too_long)?),
                Some(_) => numbers.push(number),
            }
            if wanted == Some(numbers.len() as u64) {
                // What is left of this block is padding.
                return pairs(&numbers);
            }
        }
    }
}

/// Whether `map` is in order, inside of a file of `size`, and stands for `stored` bytes.
pub fn check(map: &[Segment], size: u64, stored: u64) -> Result<(), Fault> {
    let mut end = 0;
    let mut sum = 0u64;
    for segment in map {
        let next = segment.offset.checked_add(segment.len);
        match next {
            Some(next) if segment.offset >= end && next <= size => end = next,
            _ => {
                return Err(Fault::rule(
                    "a sparse map is out of order or beyond the file",
                ));
            }
        }
        sum += segment.len;
    }
    if sum != stored {
        return Err(Fault::rule(
            "a sparse map and the data are not of the same length",
        ));
    }
    Ok(())
}

fn too_long() -> Fault {
    Fault::rule(format!("a sparse map is longer than {MAX_EXTENSION} bytes"))
}
