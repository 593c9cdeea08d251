//! Access control lists as GNU tar, bsdtar and star write them: as text (acl(5), "ACL TEXT FORMS").
//!
//! An image's ids are numbers, and whoever has the name of one on this machine has nothing to do
//! with it: a name counts only with its number behind it, as star and bsdtar write it; but root is
//! 0 everywhere.

/// What is wrong with a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is no list.
    Malformed,
    /// Nothing says which number this name stands for.
    Name(String),
}

/// `ACL_USER_OBJ` and so on of `linux/posix_acl.h`, in the order that the kernel wants.
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// `ACL_UNDEFINED_ID`
const NOBODY: u32 = u32::MAX;

/// `POSIX_ACL_XATTR_VERSION`
const VERSION: u32 = 2;

/// The value of `system.posix_acl_access` or `system.posix_acl_default`.
///
/// # Errors
/// Where it is none, or cannot be told whom it means.
pub fn from_text(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::Malformed)?;
    let mut entries = Vec::new();
    for entry in text.split(['\n', ',']) {
        // What the mask leaves of it is written behind it.
        let entry = entry.split('#').next().unwrap_or_default().trim();
        if !entry.is_empty() {
            entries.push(one(entry)?);
        }
    }
    entries.sort_unstable();
    let count = |tag| entries.iter().filter(|entry| entry.0 == tag).count();
    let is_whole = [OWNER, OWNING_GROUP, OTHER]
        .into_iter()
        .all(|tag| count(tag) == 1);
    let needs_mask = count(USER) + count(GROUP) > 0;
    if !is_whole || count(MASK) > 1 || (needs_mask && count(MASK) == 0) {
        return Err(Fault::Malformed);
    }
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    Ok(value)
}

/// `TAG:NAME:PERMISSIONS[:ID]`: its tag, id and permissions.
fn one(entry: &str) -> Result<(u16, u32, u16), Fault> {
    let fields: Vec<&str> = entry.split(':').map(str::trim).collect();
    let (tag, name, permissions, number) = match fields[..] {
        [tag, name, permissions] => (tag, name, permissions, ""),
        [tag, name, permissions, number] => (tag, name, permissions, number),
        // As Solaris has it.
        [tag @ ("mask" | "m" | "other" | "o"), permissions] => (tag, "", permissions, ""),
        _ => return Err(Fault::Malformed),
    };
    let tag = match (tag, name.is_empty()) {
        ("user" | "u", true) => OWNER,
        ("user" | "u", false) => USER,
        ("group" | "g", true) => OWNING_GROUP,
        ("group" | "g", false) => GROUP,
        ("mask" | "m", true) => MASK,
        ("other" | "o", true) => OTHER,
        _ => return Err(Fault::Malformed),
    };
    let id = match (name, number) {
        ("", _) => NOBODY,
        (name, "") => match name.parse() {
            Ok(id) => id,
            Err(_) if name == "root" => 0,
            Err(_) => return Err(Fault::Name(name.to_owned())),
        },
        (_, number) => number.parse().map_err(|_| Fault::Malformed)?,
    };
    let mut bits = 0;
    for letter in permissions.chars() {
        bits |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return Err(Fault::Malformed),
        };
    }
    Ok((tag, id, bits))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_any_tar_writes_it() {
        let gnu = "user::rw-\nuser:root:r--\nuser:12345:r-x\t#effective:r--\ngroup::r--\nmask::rw-\nother::---\n";
        let bsd = "other::---,mask::rw-,group::r--,user:alice:r-x:12345,user:root:r--:0,user::rw-";
        let solaris = "u::rw-,u:0:r--,u:12345:r-x,g::r--,mask:rw-,other:---";
        let value = from_text(gnu.as_bytes()).unwrap();
        assert_eq!(value.len(), 4 + 6 * 8);
        assert_eq!(value[12..20], [2, 0, 4, 0, 0, 0, 0, 0]);
        for text in [bsd, solaris] {
            assert_eq!(from_text(text.as_bytes()).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_says_nothing_certain_is_told_apart() {
        let base = "user::rw-,group::r--,other::r--";
        let with = |more: &str| from_text(format!("{base},{more}").as_bytes());
        assert!(from_text(base.as_bytes()).is_ok());
        assert_eq!(
            with("mask::r--,group:adm:r--"),
            Err(Fault::Name("adm".into()))
        );
        for wrong in [
            "user:5:r--",
            "user::r--",
            "mask::r--,mask::r--",
            "mask::r--,user:5:rq-",
            "mask::r--,user:a:r--:b",
            "mask:5:r--",
            "nonsense",
        ] {
            assert_eq!(with(wrong), Err(Fault::Malformed), "{wrong}");
        }
        assert_eq!(from_text(b""), Err(Fault::Malformed));
    }
}
