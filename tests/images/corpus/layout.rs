//! OCI layouts, and what is like them: written as told, right or wrong.

use super::{Member, Packed, Tar};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tare::image::digest::{Algorithm, Digest};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A layout that is being made.
pub struct Layout {
    pub path: PathBuf,
    pub manifests: Vec<Value>,
}

/// An image to be: its layers' tars and its config.
pub struct Image {
    pub tars: Vec<Vec<u8>>,
    pub packed: Packed,
    pub config: Value,
}

impl Image {
    /// Of one layer, with something in it that tells it from others.
    pub fn small(name: &str) -> Self {
        Self::of(vec![Tar::of([Member::file("name", name)])])
    }

    pub fn of(tars: Vec<Vec<u8>>) -> Self {
        let diff_ids: Vec<String> = tars.iter().map(|tar| digest(tar)).collect();
        let config = json!({
            "os": "linux",
            "architecture": "amd64",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        Self {
            tars,
            packed: Packed::Gzip,
            config,
        }
    }

    pub fn platform(mut self, architecture: &str) -> Self {
        self.config["architecture"] = architecture.into();
        self
    }

    /// With this `config.config`.
    pub fn config(mut self, config: Value) -> Self {
        self.config["config"] = config;
        self
    }
}

impl Layout {
    pub fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self {
            path,
            manifests: Vec::new(),
        }
    }

    /// Keeps a blob, and returns its descriptor.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        std::fs::write(self.path.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    pub fn json(&self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, &serde_json::to_vec(value).unwrap())
    }

    /// The manifest of an image, not yet kept: to be changed.
    pub fn manifest(&self, image: &Image) -> Value {
        let kind = match image.packed {
            Packed::Raw => "application/vnd.oci.image.layer.v1.tar",
            Packed::Gzip | Packed::GzipMembers => "application/vnd.oci.image.layer.v1.tar+gzip",
            Packed::Zstd | Packed::ZstdFrames => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        let layers: Vec<Value> = image
            .tars
            .iter()
            .map(|tar| self.blob(kind, &image.packed.pack(tar)))
            .collect();
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.json(CONFIG, &image.config),
            "layers": layers,
        })
    }

    /// Keeps an image, and returns its manifest's descriptor.
    pub fn image(&self, image: &Image) -> Value {
        self.json(MANIFEST, &self.manifest(image))
    }

    /// Keeps an index of these.
    pub fn index(&self, manifests: &[Value]) -> Value {
        self.json(
            INDEX,
            &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}),
        )
    }

    /// Puts a descriptor into index.json.
    pub fn top(&mut self, descriptor: Value) -> &mut Self {
        self.manifests.push(descriptor);
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        std::fs::write(self.path.join("index.json"), index.to_string()).unwrap();
        self
    }

    pub fn tag(&mut self, name: &str, mut descriptor: Value) -> &mut Self {
        descriptor["annotations"]["org.opencontainers.image.ref.name"] = name.into();
        self.top(descriptor)
    }

    /// How it is called on a command line.
    pub fn reference(&self, tag: &str) -> String {
        format!("oci:{}{tag}", self.path.display())
    }

    pub fn blob_path(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap();
        self.path.join("blobs").join(digest.replace(':', "/"))
    }
}

/// A descriptor with the platform that it is for.
pub fn on(architecture: &str, variant: &str, mut descriptor: Value) -> Value {
    descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
    if !variant.is_empty() {
        descriptor["platform"]["variant"] = variant.into();
    }
    descriptor
}

pub fn digest(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

/// All files of a directory as an archive.
pub fn archive(directory: &Path) -> Vec<u8> {
    let mut tar = Tar::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(below) = todo.pop() {
        for entry in std::fs::read_dir(directory.join(&below)).unwrap() {
            let name = below.join(entry.unwrap().file_name());
            let path = directory.join(&name);
            let text = format!("./{}", name.display());
            if path.is_dir() {
                tar.add(&Member::dir(text + "/"));
                todo.push(name);
            } else {
                tar.add(&Member::file(text, std::fs::read(path).unwrap()));
            }
        }
    }
    tar.end()
}
