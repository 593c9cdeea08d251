//! `image inspect`: what an image holds, without unpacking it.

use crate::cli::ImageInspect;
use crate::error::Result;
use crate::image::document::{Execution, History};
use crate::image::layer::{Compression, Limits};
use crate::image::platform::Platform;
use crate::image::source::{Candidate, Choice, Image, Reference, Source};
use crate::output;
use crate::progress::bytes;
use serde::Serialize;
use std::fmt::Write;

/// What an image holds, for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspected {
    reference: String,
    digest: String,
    id: String,
    tags: Vec<String>,
    platform: Platform,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    created: String,
    config: Execution,
    layers: Vec<InspectedLayer>,
    history: Vec<History>,
    /// All images that go by the reference.
    platforms: Vec<InspectedPlatform>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InspectedLayer {
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    diff_id: String,
    size: u64,
    compression: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InspectedPlatform {
    platform: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the image.
pub fn run(args: &ImageInspect) -> Result<()> {
    let reference = Reference::parse(&args.image)?;
    let choice = Choice {
        platform: args.platform.clone(),
        json_limit: args.max_json,
        limits: Limits {
            bytes: args.max_bytes,
            ratio: args.max_ratio,
            ..Limits::default()
        },
    };
    let source = Source::open(&reference, &choice)?;
    let image = source.image(reference.tag.as_ref(), &choice)?;
    let candidates = source.candidates(reference.tag.as_ref())?;
    let inspected = Inspected::new(reference.to_string(), image, &candidates);
    if args.json {
        return output::json_line(&inspected);
    }
    output::text(&inspected.text())
}

impl Inspected {
    fn new(reference: String, image: Image, candidates: &[Candidate]) -> Self {
        let layers = image.layers.iter().map(|layer| InspectedLayer {
            digest: layer.digest.as_ref().map(ToString::to_string),
            diff_id: layer.diff_id.to_string(),
            size: layer.size,
            compression: match layer.compression {
                Compression::None => "none",
                Compression::Gzip => "gzip",
                Compression::Zstd => "zstd",
                Compression::Unlabelled => "unlabelled",
            },
        });
        let layers = layers.collect();
        // Of a single image nobody need have said what it runs on.
        let platform = |candidate: &Candidate| match candidate.platform.is_unknown() {
            true => image.config.platform.to_string(),
            false => candidate.platform.to_string(),
        };
        let platforms = candidates.iter().map(|candidate| InspectedPlatform {
            platform: platform(candidate),
            digest: candidate.descriptor.digest.to_string(),
            tag: candidate.tag.clone(),
        });
        Self {
            reference,
            digest: image.digest.to_string(),
            id: image.id.to_string(),
            platforms: platforms.collect(),
            tags: image.tags,
            platform: image.config.platform,
            author: image.config.author,
            created: image.config.created,
            config: image.config.config,
            layers,
            history: image.config.history,
        }
    }

    /// For people: what is there, in the order of its importance.
    fn text(&self) -> String {
        let config = &self.config;
        let keys = |keys: &crate::image::document::Keys| {
            let keys: Vec<&str> = keys.keys().map(String::as_str).collect();
            keys.join(" ")
        };
        let fields = [
            ("image", self.reference.clone()),
            ("tags", self.tags.join(" ")),
            ("digest", self.digest.clone()),
            ("id", self.id.clone()),
            ("platform", self.platform.to_string()),
            ("created", self.created.clone()),
            ("author", self.author.clone()),
            ("user", config.user.clone()),
            ("cwd", config.working_dir.clone()),
            ("entrypoint", words(&config.entrypoint)),
            ("cmd", words(&config.cmd)),
            ("env", words(&config.env)),
            ("ports", keys(&config.exposed_ports)),
            ("volumes", keys(&config.volumes)),
            ("stop signal", config.stop_signal.clone()),
        ];
        let mut text = String::new();
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:12} {}", plain(value));
        }
        for (name, value) in &config.labels {
            let _ = writeln!(text, "{:12} {}={}", "label", plain(name), plain(value));
        }
        self.layers_and_history(&mut text);
        text
    }

    fn layers_and_history(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n{:>5}  {:>9}  {:10}  DIFFID",
            "LAYER", "SIZE", "FORM"
        );
        for (index, layer) in self.layers.iter().enumerate() {
            let size = bytes(layer.size);
            let form = layer.compression;
            let _ = writeln!(
                text,
                "{:>5}  {size:>9}  {form:10}  {}",
                index + 1,
                layer.diff_id
            );
        }
        if !self.history.is_empty() {
            let _ = writeln!(text, "\n{:>5}  {:20}  CREATED BY", "LAYER", "CREATED");
        }
        let mut layer = 0;
        for step in &self.history {
            layer += usize::from(!step.empty_layer);
            let of = if step.empty_layer {
                "-".to_owned()
            } else {
                layer.to_string()
            };
            let created: String = step.created.chars().take(20).collect();
            let by: String = plain(&step.created_by).chars().take(160).collect();
            let _ = writeln!(text, "{of:>5}  {:20}  {by}", plain(&created));
        }
        if self.platforms.len() > 1 {
            let _ = writeln!(text, "\n{:24}  {:24}  DIGEST", "PLATFORM", "TAG");
            for one in &self.platforms {
                let tag = plain(one.tag.as_deref().unwrap_or("-"));
                let _ = writeln!(
                    text,
                    "{:24}  {tag:24}  {}",
                    plain(&one.platform),
                    one.digest
                );
            }
        }
    }
}

fn words(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(" ")
}

/// What an image says is shown on a terminal, which must not take any of it for commands.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}
