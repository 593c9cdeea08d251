//! What people write for an image: "oci:DIR:TAG", "docker-archive:FILE", or just a path.

use crate::error::{Code, Error, Result};
use crate::image::digest::Digest;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How the image is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// An OCI layout in a directory.
    Oci,
    /// The same in a tar archive.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
        }
    }
}

/// Which of a source's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// By the name that the source gives it.
    Name(String),
    /// By its manifest's or index's digest ("@sha256:...").
    Digest(Digest),
}

/// A source, and which of its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// None is to be recognised.
    pub transport: Option<Transport>,
    /// The directory or file.
    pub path: PathBuf,
    /// None where there is but one image.
    pub tag: Option<Tag>,
}

impl Reference {
    /// Reads a reference. What is a path is not for text alone to say, because a path may hold
    /// colons: it is the longest that exists, else what comes before the first colon.
    ///
    /// # Errors
    /// A transport that is unknown, an empty path, a digest that is none.
    pub fn parse(text: &OsStr) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(
                Code::Usage,
                format!("the image {:?} {why}", text.to_string_lossy()),
            )
            .hint(
                "like oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or a path",
            )
        };
        let (transport, rest) = transport(text);
        if rest.is_empty() {
            return Err(wrong("has no path"));
        }
        let (path, tag) = split(rest);
        if transport.is_none() && !path.exists() {
            if is_scheme(rest) {
                return Err(wrong(
                    "is not something that tare can fetch: it reads local files",
                ));
            }
            return Err(wrong("is not there").with_code(Code::NotFound));
        }
        let tag = match tag {
            None => None,
            Some(tag) => {
                let text = tag
                    .to_str()
                    .ok_or_else(|| wrong("has a tag that is not UTF-8"))?;
                match text.strip_prefix('@') {
                    Some(digest) => Some(Tag::Digest(digest.parse()?)),
                    None if text.is_empty() => None,
                    None => Some(Tag::Name(text.to_owned())),
                }
            }
        };
        Ok(Self {
            transport,
            path: path.to_owned(),
            tag,
        })
    }
}

fn transport(text: &OsStr) -> (Option<Transport>, &OsStr) {
    let all = [
        Transport::Oci,
        Transport::OciArchive,
        Transport::DockerArchive,
    ];
    for transport in all {
        let rest = text.as_bytes().strip_prefix(transport.name().as_bytes());
        if let Some(rest) = rest.and_then(|rest| rest.strip_prefix(b":")) {
            return (Some(transport), OsStr::from_bytes(rest));
        }
    }
    (None, text)
}

/// "docker://", "containers-storage:" and the like, of other tools.
fn is_scheme(text: &OsStr) -> bool {
    let bytes = text.as_bytes();
    let scheme = bytes.split(|&byte| byte == b':').next().unwrap_or_default();
    bytes
        .get(scheme.len()..)
        .is_some_and(|rest| rest.starts_with(b"://"))
        || matches!(scheme, b"containers-storage" | b"docker-daemon" | b"dir")
}

/// The path, and what follows it: after a colon, or beginning with "@".
fn split(text: &OsStr) -> (&Path, Option<&OsStr>) {
    let bytes = text.as_bytes();
    let path = |end: usize| Path::new(OsStr::from_bytes(&bytes[..end]));
    let ends = (1..bytes.len()).filter(|&at| matches!(bytes[at], b':' | b'@'));
    if path(bytes.len()).exists() {
        return (path(bytes.len()), None);
    }
    let end = ends
        .clone()
        .rev()
        .find(|&end| path(end).exists())
        .or_else(|| ends.clone().next());
    match end {
        None => (path(bytes.len()), None),
        Some(end) => {
            let from = if bytes[end] == b'@' { end } else { end + 1 };
            (path(end), Some(OsStr::from_bytes(&bytes[from..])))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, ":{name}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(f, "{}:", transport.name())?;
        }
        write!(f, "{}", self.path.display())?;
        match &self.tag {
            Some(tag) => write!(f, "{tag}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Reference> {
        Reference::parse(OsStr::new(text))
    }

    fn parts(text: &str) -> (Option<Transport>, String, String) {
        let reference = parse(text).unwrap();
        let tag = reference.tag.map(|tag| tag.to_string());
        let path = reference.path.to_string_lossy().into_owned();
        (reference.transport, path, tag.unwrap_or_default())
    }

    #[test]
    fn a_reference_has_transport_path_and_tag() {
        let none = String::new();
        for (text, transport, path, tag) in [
            ("oci:/no/such", Transport::Oci, "/no/such", none.clone()),
            ("oci:/no/such:", Transport::Oci, "/no/such", none.clone()),
            (
                "oci:/no/such:1.0",
                Transport::Oci,
                "/no/such",
                ":1.0".into(),
            ),
            (
                "oci-archive:a.tar:x",
                Transport::OciArchive,
                "a.tar",
                ":x".into(),
            ),
            (
                "docker-archive:a.tar:reg:5000/x:1",
                Transport::DockerArchive,
                "a.tar",
                ":reg:5000/x:1".into(),
            ),
        ] {
            assert_eq!(parts(text), (Some(transport), path.into(), tag), "{text}");
        }
        let digest = format!("@sha256:{}", "0".repeat(64));
        assert_eq!(parts(&format!("oci:/no/such{digest}")).2, digest);
        assert!(parse("oci:/no/such@sha256:0").is_err());
    }

    #[test]
    fn the_longest_path_that_exists_is_meant() {
        let dir = std::env::temp_dir().join(format!("tare:ref:{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.to_str().unwrap();
        let whole = parts(path);
        let tagged = parts(&format!("{path}:tag"));
        std::fs::remove_dir(&dir).unwrap();
        assert_eq!(whole, (None, path.into(), String::new()));
        assert_eq!(tagged, (None, path.into(), ":tag".into()));
    }

    #[test]
    fn what_is_elsewhere_is_refused() {
        for text in ["docker://busybox", "oci:", "", "/no/such/file"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
