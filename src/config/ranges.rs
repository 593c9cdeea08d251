//! Lists of CPUs and of memory nodes, written as "0-3,7".

use super::de;
use serde::{Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::RangeInclusive;

/// set_mempolicy(2) takes at most a page of bits, and no kernel has more CPUs than 8192.
const MOST: u32 = 8 * 4096;

/// CPUs or memory nodes: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeList(Vec<RangeInclusive<u32>>);

impl RangeList {
    /// Reads "0-3,7". Spaces around a range and empty ranges are passed over, as runc does.
    pub fn parse(text: &str) -> Result<Self, String> {
        let ranges: Vec<_> = text
            .split(',')
            .map(str::trim)
            .filter(|range| !range.is_empty())
            .map(parse_range)
            .collect::<Result<_, _>>()?;
        if ranges.is_empty() {
            return Err(format!("{text:?} lists nothing"));
        }
        Ok(Self(ranges))
    }

    /// The ranges as written: they may overlap and have any order.
    pub fn ranges(&self) -> &[RangeInclusive<u32>] {
        &self.0
    }

    /// The set as the kernel takes it: bit n of the words is number n.
    pub fn to_mask(&self) -> Vec<u64> {
        let last = self.0.iter().map(|range| *range.end()).max().unwrap_or(0);
        let mut mask = vec![0; last as usize / 64 + 1];
        for number in self.0.iter().cloned().flatten() {
            mask[number as usize / 64] |= 1 << (number % 64);
        }
        mask
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.to_mask().iter().map(|word| word.count_ones()).sum()
    }
}

fn parse_range(range: &str) -> Result<RangeInclusive<u32>, String> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (parse_number(first, range)?, parse_number(last, range)?);
    if first > last {
        return Err(format!("{range:?} ends before it begins"));
    }
    Ok(first..=last)
}

fn parse_number(text: &str, range: &str) -> Result<u32, String> {
    // u32::from_str would take a sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{range:?} is not a number or a range of numbers"));
    }
    match text.parse() {
        Ok(number) if number < MOST => Ok(number),
        _ => Err(format!("{text} is greater than {}", MOST - 1)),
    }
}

impl fmt::Display for RangeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

impl Serialize for RangeList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A list of CPUs; `null` and `""` are none.
pub(super) fn cpus<'de, D>(deserializer: D) -> Result<Option<RangeList>, D::Error>
where
    D: Deserializer<'de>,
{
    de::optional(deserializer, "a list of CPUs", |text| {
        RangeList::parse(text).map_err(|why| format!("invalid CPU list: {why}"))
    })
}

/// A list of memory nodes; `null` and `""` are none. The words are runc's, as its tests ask.
pub(super) fn nodes<'de, D>(deserializer: D) -> Result<Option<RangeList>, D::Error>
where
    D: Deserializer<'de>,
{
    de::optional(deserializer, "a list of memory nodes", |text| {
        RangeList::parse(text).map_err(|why| format!("invalid memory policy nodes: {why}"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_runc_reads_them() {
        let mask = |text| RangeList::parse(text).unwrap().to_mask();
        for (text, expected) in [
            ("0", 0x1),
            ("0-1", 0x3),
            (",0,1,", 0x3),
            ("0,1,2-3", 0xF),
            ("1, 2, 1-2", 0x6),
            ("    , 1   , 3  ,  5-7,    ", 0xEA),
        ] {
            assert_eq!(mask(text), [expected], "{text:?}");
        }
        assert_eq!(mask("63-64,129"), [1 << 63, 1, 2]);
        assert_eq!(RangeList::parse("32767").unwrap().count(), 1);
        assert_eq!(RangeList::parse(" 0-3,7").unwrap().to_string(), "0-3,7");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            "",
            ",",
            " ",
            "-",
            "1-",
            "-3",
            "+1",
            "1 - 2",
            "54-53",
            "a",
            "0x1",
            "1-2-3",
            "32768",
            "4294967296",
            "0-9876543210",
        ] {
            assert!(RangeList::parse(text).is_err(), "{text:?}");
        }
    }
}
