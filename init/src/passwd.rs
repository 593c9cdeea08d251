//! The home of a user, as a passwd(5) has it.
//!
//! The file is the image's, and so anything: it is taken piece by piece, in one pass, and nothing
//! of it is kept but the home that is looked for.

use alloc::vec::Vec;

/// The longest home that is one: no path is longer (`PATH_MAX`).
const LONGEST: usize = 4096;

/// Where the fields of a line are, which colons part.
const UID: usize = 2;
const HOME: usize = 5;

/// Looks for the home of one user.
#[derive(Debug)]
pub struct HomeOf {
    uid: u32,
    line: Line,
}

/// What counts of the line that is being read.
#[derive(Debug, Default)]
struct Line {
    field: usize,
    /// Nothing where it is empty; far too large where it is no number.
    uid: Option<u64>,
    home: Vec<u8>,
}

impl HomeOf {
    /// To be given all of the file by [`Self::push`], and then [`Self::end`].
    pub fn new(uid: u32) -> Self {
        Self {
            uid,
            line: Line::default(),
        }
    }

    /// Takes the next piece of the file. Returns the home where the user's line has ended in it:
    /// the first such line counts. It is empty where the line has none.
    pub fn push(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        piece.iter().find_map(|&byte| match byte {
            b'\n' => core::mem::take(&mut self.line).home_of(self.uid),
            _ => {
                self.line.push(byte);
                None
            }
        })
    }

    /// The home in a last line that did not end.
    pub fn end(self) -> Option<Vec<u8>> {
        self.line.home_of(self.uid)
    }
}

impl Line {
    fn push(&mut self, byte: u8) {
        match (byte, self.field) {
            (b':', _) => self.field += 1,
            (b'0'..=b'9', UID) => {
                let number = self.uid.unwrap_or(0).saturating_mul(10);
                self.uid = Some(number.saturating_add(u64::from(byte - b'0')));
            }
            (_, UID) => self.uid = Some(u64::MAX),
            (_, HOME) if self.home.len() <= LONGEST => self.home.push(byte),
            _ => {}
        }
    }

    fn home_of(mut self, uid: u32) -> Option<Vec<u8>> {
        if self.uid != Some(uid.into()) {
            return None;
        }
        // What no environment and no path can hold.
        if self.home.len() > LONGEST || self.home.contains(&0) {
            self.home.clear();
        }
        Some(self.home)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;

    fn home(passwd: &[u8], uid: u32) -> Option<String> {
        let mut lookup = HomeOf::new(uid);
        let found = passwd.chunks(3).find_map(|piece| lookup.push(piece));
        let found = found.or_else(|| lookup.end())?;
        Some(String::from_utf8(found).unwrap())
    }

    #[test]
    fn the_first_line_of_the_user_counts() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\n\n#\nno:x:one:1::/no:\nold:x:1:1\n\
                       one:x:1:1::/one:\nshort:x:2:2::/two\nmore:x:3:3::/three:/bin/sh:x";
        for (uid, expected) in [
            (0, Some("/root")),
            (1, Some("")),
            (2, Some("/two")),
            (3, Some("/three")),
            (4, None),
        ] {
            assert_eq!(home(passwd, uid).as_deref(), expected, "{uid}");
        }
    }

    #[test]
    fn only_numbers_are_ids() {
        for uid in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "4294967297",
            "18446744073709551617",
            "x",
        ] {
            let line = alloc::format!("one:x:{uid}:1::/one:/bin/sh\n");
            assert_eq!(home(line.as_bytes(), 1), None, "{uid:?}");
        }
        assert_eq!(home(b"one:x:001:1::/one:", 1).as_deref(), Some("/one"));
    }

    #[test]
    fn a_home_that_cannot_be_one_is_none() {
        assert_eq!(home(b"one:x:1:1::/o\0e:", 1).as_deref(), Some(""));
        let mut line = b"one:x:1:1::/".to_vec();
        line.extend(vec![b'x'; LONGEST - 1]);
        assert_eq!(home(&line, 1).map(|home| home.len()), Some(LONGEST));
        line.push(b'x');
        assert_eq!(home(&line, 1).as_deref(), Some(""));
    }
}
