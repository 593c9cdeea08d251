//! pax extended headers: records of `LENGTH KEY=VALUE\n`.

use super::fields::{base64, decimal, percent, time};
use super::sparse::PaxSparse;
use super::{Acls, Fault, Time};
use std::collections::BTreeMap;

/// What the records of one header, or of the global ones so far, say.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Time>,
    /// A map, for a header has room for tens of thousands of them.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub acls: Acls,
    pub sparse: PaxSparse,
}

/// For whom the records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// For the next entry.
    Local,
    /// For all entries from here on.
    Global,
}

impl Records {
    /// Takes in all records of `text`; a later one of the same key counts.
    pub fn read(&mut self, mut text: &[u8], scope: Scope) -> Result<(), Fault> {
        while !text.is_empty() {
            let (key, value, rest) = record(text)
                .ok_or_else(|| Fault::rule("an extended header's records are malformed"))?;
            if key.contains(&0) {
                return Err(Fault::rule("an extended header has a NUL in a key"));
            }
            self.set(key, value, scope)?;
            text = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], scope: Scope) -> Result<(), Fault> {
        let only_local = matches!(key, b"path" | b"linkpath" | b"size")
            || key.starts_with(b"GNU.sparse.")
            || key == b"SCHILY.realsize";
        if only_local && scope == Scope::Global {
            // All entries of one name and one size: readers differ in what they make of it.
            return Err(Fault::rule(format!("a global header sets {}", shown(key))));
        }
        match key {
            b"path" => self.path = name(key, value)?,
            b"linkpath" => self.link = name(key, value)?,
            b"size" => self.size = unsigned(key, value)?,
            b"uid" => self.uid = unsigned(key, value)?,
            b"gid" => self.gid = unsigned(key, value)?,
            b"mtime" => {
                self.mtime = match value {
                    b"" => None,
                    _ => Some(time(value).ok_or_else(|| not_a(key, "time"))?),
                }
            }
            b"SCHILY.acl.access" => self.acls.access = Some(value.to_vec()),
            b"SCHILY.acl.default" => self.acls.default = Some(value.to_vec()),
            b"SCHILY.realsize" => {
                return Err(Fault::rule(
                    "a sparse file in star's format, which nobody else reads",
                ));
            }
            _ => {
                if let Some(attribute) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(attribute.to_vec(), value.to_vec())?;
                } else if let Some(attribute) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let attribute = percent(attribute).ok_or_else(|| not_a(key, "name"))?;
                    let value = base64(value).ok_or_else(|| not_a(key, "base 64"))?;
                    self.xattr(attribute, value)?;
                } else if let Some(field) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(field, value)?;
                }
            }
        }
        Ok(())
    }

    fn xattr(&mut self, attribute: Vec<u8>, value: Vec<u8>) -> Result<(), Fault> {
        if attribute.is_empty() || attribute.contains(&0) {
            return Err(Fault::rule("an extended attribute without a name"));
        }
        self.xattrs.insert(attribute, value);
        Ok(())
    }
}

/// The first record of `text`: key, value, and what comes after.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(&text[..space])?).ok()?;
    if len <= space + 1 || len > text.len() {
        return None;
    }
    let (record, rest) = text.split_at(len);
    let record = record[space + 1..].strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    if equals == 0 {
        return None;
    }
    Some((&record[..equals], &record[equals + 1..], rest))
}

/// An empty value takes back what a global header or nothing said.
fn name(key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    if value.contains(&0) {
        return Err(Fault::rule(format!("{} has a NUL in it", shown(key))));
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

fn unsigned(key: &[u8], value: &[u8]) -> Result<Option<u64>, Fault> {
    match value {
        b"" => Ok(None),
        _ => decimal(value).map(Some).ok_or_else(|| not_a(key, "number")),
    }
}

fn not_a(key: &[u8], what: &str) -> Fault {
    Fault::rule(format!(
        "the extended header's {} is not a {what}",
        shown(key)
    ))
}

fn shown(key: &[u8]) -> String {
    let key = &key[..key.len().min(80)];
    key.escape_ascii().to_string()
}
