//! The option strings of config.json and mount(8), turned into what the plan says of a mount.

use super::mounts::{Attributes, FsOption};
use super::rootfs::{Propagation, PropagationKind};

/// What a list of mount options says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `bind` or `rbind`.
    pub bind: Option<Bind>,
    /// For the mount.
    pub attributes: Attributes,
    /// For the mount and those below it.
    pub recursive: Attributes,
    /// In order.
    pub propagation: Vec<Propagation>,
    /// `idmap` or `ridmap`.
    pub idmap: Option<IdMapOption>,
    /// `tmpcopyup`.
    pub copy_up: bool,
    /// Flags of the superblock (sync, lazytime...), and all that only the file system knows.
    pub file_system: Vec<FsOption>,
}

/// The option `idmap` or `ridmap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMapOption {
    /// `ridmap`.
    pub recursive: bool,
    /// What crun lets follow: "uids=0-1000-10;gids=0-1000-10".
    pub mapping: Option<String>,
}

/// Whether something applies to one mount or to the tree below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// To one.
    One,
    /// To all.
    Recursive,
}

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
const ATIME: u64 = libc::MOUNT_ATTR__ATIME;
const RELATIME: u64 = libc::MOUNT_ATTR_RELATIME;
const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
const NODIRATIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;

/// The options that are mount attributes: name, bits to set, bits to clear. Each exists with
/// an `r` before it too, for the whole tree (config.md, "Linux mount options").
///
/// The atime bits are a field, not flags: it is cleared whenever one is set.
const ATTRIBUTES: &[(&str, u64, u64)] = &[
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("relatime", RELATIME, ATIME),
    ("norelatime", STRICTATIME, ATIME),
    ("noatime", NOATIME, ATIME),
    ("atime", RELATIME, ATIME),
    ("strictatime", STRICTATIME, ATIME),
    ("nostrictatime", RELATIME, ATIME),
    ("nosymfollow", NOSYMFOLLOW, 0),
    ("symfollow", 0, NOSYMFOLLOW),
];

const PROPAGATION: &[(&str, PropagationKind)] = &[
    ("shared", PropagationKind::Shared),
    ("slave", PropagationKind::Slave),
    ("private", PropagationKind::Private),
    ("unbindable", PropagationKind::Unbindable),
];

/// Options of the superblock, which fsconfig(2) takes as flags for every file system.
const SUPERBLOCK: &[&str] = &["sync", "dirsync", "lazytime", "mand"];

/// Options that undo a flag of [`SUPERBLOCK`]; a new superblock starts without any.
const SUPERBLOCK_OFF: &[(&str, &str)] = &[
    ("async", "sync"),
    ("nolazytime", "lazytime"),
    ("nomand", "mand"),
];

/// Options of mount(8) that ask for what is so anyway, or that speak to mount(8) alone.
/// `iversion` and its kin are internal to file systems since Linux 5.x and select nothing. `acl`
/// and `noacl` are flags to runc, and most file systems do not know the words.
const WITHOUT_EFFECT: &[&str] = &[
    "defaults",
    "remount",
    "silent",
    "loud",
    "iversion",
    "noiversion",
    "acl",
    "noacl",
    "user",
    "nouser",
    "users",
    "auto",
    "noauto",
    "_netdev",
    "nofail",
];

impl Options {
    /// Reads a list of options; what none of the tables knows goes to the file system.
    pub fn parse<S: AsRef<str>>(list: &[S]) -> Self {
        let mut options = Self::default();
        for option in list
            .iter()
            .flat_map(|string| split_outside_quotes(string.as_ref()))
        {
            options.add(option);
        }
        options
    }

    fn add(&mut self, option: &str) {
        match option {
            "bind" => self.bind = self.bind.or(Some(Bind::One)),
            "rbind" => self.bind = Some(Bind::Recursive),
            "tmpcopyup" => self.copy_up = true,
            _ if WITHOUT_EFFECT.contains(&option) => {}
            _ => {
                if let Some(idmap) = idmap(option) {
                    self.idmap = Some(idmap);
                } else if let Some(change) = attribute(option) {
                    add(&mut self.attributes, change);
                } else if let Some(change) = option.strip_prefix('r').and_then(attribute) {
                    add(&mut self.recursive, change);
                } else if let Some(propagation) = propagation(option) {
                    self.propagation.push(propagation);
                } else if let Some((_, flag)) =
                    SUPERBLOCK_OFF.iter().find(|(name, _)| *name == option)
                {
                    self.file_system.retain(|present| present.key != *flag);
                } else {
                    self.file_system.push(FsOption::parse(option));
                }
            }
        }
    }
}

/// Adds `change`; a later option overrides an earlier one.
fn add(attributes: &mut Attributes, change: Attributes) {
    attributes.set = (attributes.set & !change.clear) | change.set;
    attributes.clear = (attributes.clear & !change.set) | change.clear;
}

/// Splits at commas, as mount(8) and the kernel do, but not within double quotes: an SELinux
/// context with categories (`context="...:c1,c2"`) is one option.
fn split_outside_quotes(string: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    string
        .split(move |c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        })
        .filter(|option| !option.is_empty())
}

fn idmap(option: &str) -> Option<IdMapOption> {
    let (name, mapping) = match option.split_once('=') {
        Some((name, mapping)) => (name, Some(mapping.to_owned())),
        None => (option, None),
    };
    matches!(name, "idmap" | "ridmap").then(|| IdMapOption {
        recursive: name == "ridmap",
        mapping,
    })
}

fn attribute(name: &str) -> Option<Attributes> {
    ATTRIBUTES
        .iter()
        .find(|(known, ..)| *known == name)
        .map(|&(_, set, clear)| Attributes { set, clear })
}

fn propagation(name: &str) -> Option<Propagation> {
    let find = |name: &str| {
        PROPAGATION
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(_, kind)| kind)
    };
    find(name)
        .map(|kind| Propagation {
            kind,
            recursive: false,
        })
        .or_else(|| {
            name.strip_prefix('r')
                .and_then(find)
                .map(|kind| Propagation {
                    kind,
                    recursive: true,
                })
        })
}

/// Whether this option is a flag of the superblock, which a bind mount cannot change.
pub fn is_superblock_flag(option: &FsOption) -> bool {
    SUPERBLOCK.contains(&option.key.as_str())
}

/// Every option that tare acts on itself, for `features`, sorted.
pub fn known_options() -> Vec<String> {
    let mut names: Vec<String> = ["bind", "rbind", "idmap", "ridmap", "tmpcopyup"]
        .map(str::to_owned)
        .to_vec();
    for (name, ..) in ATTRIBUTES {
        names.push((*name).to_owned());
        names.push(format!("r{name}"));
    }
    for (name, _) in PROPAGATION {
        names.push((*name).to_owned());
        names.push(format!("r{name}"));
    }
    names.extend(SUPERBLOCK.iter().map(|&name| name.to_owned()));
    names.extend(SUPERBLOCK_OFF.iter().map(|&(name, _)| name.to_owned()));
    names.extend(WITHOUT_EFFECT.iter().map(|&name| name.to_owned()));
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_option_overrides_an_earlier_one() {
        let options = Options::parse(&["ro", "nosuid", "rw", "noatime", "relatime"]);
        assert_eq!(options.attributes.set, NOSUID | RELATIME);
        assert_eq!(options.attributes.clear & RDONLY, RDONLY);
        let options = Options::parse(&["rw", "ro"]);
        assert_eq!(
            options.attributes,
            Attributes {
                set: RDONLY,
                clear: 0
            }
        );
    }

    #[test]
    fn recursive_options_are_told_from_plain_ones() {
        let options = Options::parse(&[
            "rro",
            "rnosuid",
            "rslave",
            "ro",
            "relatime",
            "rrelatime",
            "rbind",
        ]);
        assert_eq!(options.bind, Some(Bind::Recursive));
        assert_eq!(options.recursive.set, RDONLY | NOSUID | RELATIME);
        assert_eq!(options.attributes.set, RDONLY | RELATIME);
        assert_eq!(
            options.propagation,
            [Propagation {
                kind: PropagationKind::Slave,
                recursive: true
            }]
        );
        assert!(options.file_system.is_empty());
    }

    #[test]
    fn what_is_not_ours_is_the_file_systems() {
        let options = Options::parse(&["mode=755,size=64k", "newinstance", "sync", "async"]);
        let keys: Vec<_> = options
            .file_system
            .iter()
            .map(|o| (o.key.as_str(), o.value.as_deref()))
            .collect();
        assert_eq!(
            keys,
            [
                ("mode", Some("755")),
                ("size", Some("64k")),
                ("newinstance", None)
            ]
        );
        let options = Options::parse(&["context=\"u:r:t:s0:c1,c2\",noexec"]);
        assert_eq!(
            options.file_system[0].value.as_deref(),
            Some("u:r:t:s0:c1,c2")
        );
        assert_eq!(options.attributes.set, NOEXEC);
    }
}
