//! What the user decides about unpacking: limits, owners, devices.

/// How layers are unpacked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where an unpack is given up.
    pub limits: Limits,
    /// Whose the files are.
    pub owner: Owner,
    /// What becomes of device nodes.
    pub devices: Devices,
    /// The xattrs that mark opaque directories for overlayfs.
    pub overlay_xattrs: OverlayXattrs,
}

/// Bounds that no honest image meets, against those that are not: each has a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all layers together, uncompressed.
    pub bytes: u64,
    /// Entries of all layers together.
    pub entries: u64,
    /// How many times larger a layer may be than its blob, once it is over [`Limits::RATIO_FROM`].
    pub ratio: u64,
    /// Directories above an entry.
    pub depth: usize,
}

impl Limits {
    /// The compression ratio of little data says nothing.
    pub const RATIO_FROM: u64 = 256 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 256 << 30,
            entries: 16 << 20,
            ratio: 400,
            depth: 512,
        }
    }
}

/// How an image's user and group ids are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// As they are (in a user namespace: as seen from inside).
    #[default]
    Keep,
    /// As a user namespace of these mappings will see them; an id outside is an error.
    Map {
        /// Of user ids.
        uids: Vec<IdRange>,
        /// Of group ids.
        gids: Vec<IdRange>,
    },
    /// All files belong to the caller, who has but one id.
    Caller,
}

/// `size` ids from `inside` on are stored as those from `outside` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the image.
    pub inside: u32,
    /// What it is stored as.
    pub outside: u32,
    /// How many.
    pub size: u32,
}

/// What becomes of a layer's device nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// They are made; that needs CAP_MKNOD.
    #[default]
    Make,
    /// An image with one is refused.
    Refuse,
    /// An empty regular file stands in.
    Placeholder,
}

/// Which xattrs overlayfs will look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverlayXattrs {
    /// `trusted.overlay.*`: the mount is made with CAP_SYS_ADMIN in the first user namespace.
    #[default]
    Trusted,
    /// `user.overlay.*`: the mount has the option `userxattr` (Linux 5.11).
    User,
}
