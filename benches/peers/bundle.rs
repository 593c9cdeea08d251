//! The bundles every runtime is measured on: one busybox, several config.json.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tare::error::{Code, Context, Error, Result};

/// What `runc spec` writes, without a terminal.
const CONFIG: &str = include_str!("config.json");
/// The default profile of Docker.
const SECCOMP: &str = include_str!("../../tests/seccomp/docker.json");

/// The bundles, which share a rootfs.
pub struct Bundles {
    directory: PathBuf,
    /// Runs `true`.
    pub short: PathBuf,
    /// The same, under Docker's seccomp profile.
    pub filtered: PathBuf,
    /// Sleeps until it is killed.
    pub long: PathBuf,
}

impl Bundles {
    /// Makes the bundles in `directory`.
    pub fn new(directory: &Path) -> Result<Self> {
        let bin = directory.join("rootfs/bin");
        fs::create_dir_all(&bin).context(|| format!("making {}", bin.display()))?;
        let busybox = crate::runtime::find("busybox").ok_or_else(|| {
            Error::new(Code::NotFound, "busybox is not installed")
                .hint("sudo apt-get install busybox-static")
        })?;
        fs::copy(&busybox, bin.join("busybox")).context(|| "copying busybox")?;
        for name in ["true", "sleep"] {
            symlink("busybox", bin.join(name)).context(|| "linking busybox")?;
        }
        let seccomp = parsed(SECCOMP)?;
        Ok(Self {
            short: bundle(directory, "short", &["true"], |_| ())?,
            filtered: bundle(directory, "filtered", &["true"], |config| {
                config["linux"]["seccomp"] = seccomp;
            })?,
            long: bundle(directory, "long", &["sleep", "1000000"], |_| ())?,
            directory: directory.to_owned(),
        })
    }

    /// A bundle that runs `true` with no more memory than `kib`.
    pub fn with_memory(&self, kib: u64) -> Result<PathBuf> {
        let limit = json!({ "limit": kib << 10, "swap": kib << 10 });
        let name = format!("memory-{kib}");
        bundle(&self.directory, &name, &["true"], |config| {
            config["linux"]["resources"]["memory"] = limit;
        })
    }
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Error::new(Code::InvalidConfig, error.to_string()))
}

fn bundle(
    directory: &Path,
    name: &str,
    args: &[&str],
    edit: impl FnOnce(&mut Value),
) -> Result<PathBuf> {
    let mut config = parsed(CONFIG)?;
    config["process"]["args"] = json!(args);
    config["root"]["path"] = json!(directory.join("rootfs"));
    edit(&mut config);
    // As `runc spec` does: on a v1 host a cgroup namespace is not the default.
    if crate::host::has_unified_cgroups()
        && let Some(namespaces) = config["linux"]["namespaces"].as_array_mut()
    {
        namespaces.push(json!({ "type": "cgroup" }));
    }
    let bundle = directory.join(name);
    fs::create_dir_all(&bundle).context(|| format!("making {}", bundle.display()))?;
    fs::write(bundle.join("config.json"), config.to_string())
        .context(|| format!("writing a config.json to {}", bundle.display()))?;
    Ok(bundle)
}
