//! What an entry's name means: where it is, and whether it is a whiteout (image-spec layer.md,
//! "Whiteouts").

/// What the last part of a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last<'a> {
    /// The root directory: there is no last part.
    Root,
    /// The name of what the entry describes.
    Plain(&'a [u8]),
    /// The name of what is not to be seen any more.
    Whiteout(&'a [u8]),
    /// Nothing of the directory's content below is to be seen any more.
    Opaque,
    /// What AUFS kept for itself in a directory.
    Aufs,
}

const PREFIX: &[u8] = b".wh.";

/// Puts `path` into `into` in its one form, `a/b/c`: from the root, without what means nothing.
///
/// # Errors
/// The rule it breaks.
pub fn normalize(path: &[u8], depth: usize, into: &mut Vec<u8>) -> Result<(), String> {
    into.clear();
    let mut parts = 0;
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            // No tool writes one, and readers differ in what they make of it.
            b".." => return Err("a name with .. in it".into()),
            _ => {}
        }
        if parts > 0 {
            into.push(b'/');
        }
        into.extend_from_slice(part);
        parts += 1;
    }
    if parts > depth.saturating_add(1) {
        return Err(format!("more than {depth} directories deep, the limit"));
    }
    Ok(())
}

/// The directory of a normalized path, and what its last part stands for.
///
/// # Errors
/// The rule it breaks.
pub fn split(path: &[u8]) -> Result<(&[u8], Last<'_>), &'static str> {
    let (parent, last) = parent(path);
    if last.is_empty() {
        return Ok((parent, Last::Root));
    }
    if parent
        .split(|byte| *byte == b'/')
        .any(|part| part.starts_with(PREFIX))
    {
        let aufs = parent
            .split(|byte| *byte == b'/')
            .any(|part| part.starts_with(b".wh..wh."));
        return match aufs {
            true => Ok((parent, Last::Aufs)),
            false => Err("below a directory whose name is a whiteout's"),
        };
    }
    let Some(hidden) = last.strip_prefix(PREFIX) else {
        return Ok((parent, Last::Plain(last)));
    };
    match hidden {
        b"" | b"." | b".." => Err("a whiteout of no file"),
        b".wh..opq" => Ok((parent, Last::Opaque)),
        _ if hidden.starts_with(PREFIX) => Ok((parent, Last::Aufs)),
        _ => Ok((parent, Last::Whiteout(hidden))),
    }
}

/// The directory of a normalized path and its last part; both empty for the root.
pub fn parent(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> Result<String, String> {
        let mut into = Vec::new();
        normalize(path.as_bytes(), 4, &mut into)?;
        Ok(String::from_utf8(into).unwrap())
    }

    #[test]
    fn names_have_one_form() {
        for root in ["/", ".", "./", "//.//"] {
            assert_eq!(normal(root).unwrap(), "");
        }
        assert_eq!(normal("./a//b/./c/").unwrap(), "a/b/c");
        assert_eq!(normal("/etc/passwd").unwrap(), "etc/passwd");
        assert_eq!(normal("a/..b/...").unwrap(), "a/..b/...");
        for bad in ["..", "../a", "a/..", "a/../b", "1/2/3/4/5/6"] {
            assert!(normal(bad).is_err(), "{bad}");
        }
        assert!(normal("1/2/3/4/5").is_ok());
    }

    #[test]
    fn whiteouts_are_told_apart() {
        assert_eq!(split(b""), Ok((&b""[..], Last::Root)));
        assert_eq!(split(b"a/b"), Ok((&b"a"[..], Last::Plain(b"b"))));
        assert_eq!(split(b"a/.wh.b"), Ok((&b"a"[..], Last::Whiteout(b"b"))));
        assert_eq!(split(b".wh....."), Ok((&b""[..], Last::Whiteout(b"...."))));
        assert_eq!(split(b"a/.wh..wh..opq"), Ok((&b"a"[..], Last::Opaque)));
        assert_eq!(split(b".wh..wh.plnk"), Ok((&b""[..], Last::Aufs)));
        assert_eq!(
            split(b".wh..wh.plnk/1.2"),
            Ok((&b".wh..wh.plnk"[..], Last::Aufs))
        );
        for bad in [".wh.", ".wh..", ".wh...", "a/.wh.", ".wh.a/b"] {
            assert!(split(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
