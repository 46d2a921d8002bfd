//! Scenarios from files: what is refused, what a run tells, and that the generator tells the truth about a server that stands
//! still and about itself.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

#[allow(dead_code, unreachable_pub, reason = "shared with the feed's tests, which need more of it")]
#[path = "../../../feed/tests/feed/chromium.rs"]
mod chromium;
mod ends;
mod files;
mod page;
mod proof;
#[allow(dead_code, unreachable_pub, reason = "shared with the feed's tests, which need more of it")]
#[path = "../../../feed/tests/feed/websocket.rs"]
mod websocket;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A run that has ended.
struct Played {
    code: Option<i32>,
    /// All that it said.
    said: String,
    json: Value,
    json_file: PathBuf,
    html: String,
    html_file: PathBuf,
    folder: PathBuf,
}

fn loadgen(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(args).output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    output
}

/// Plays a scenario and takes all that it can write.
fn play(folder: &Path, name: &str, text: &str) -> Played {
    let path = |ending: &str| folder.join(format!("{name}{ending}"));
    let (file, json_file, html_file) = (path(".toml"), path(".json"), path(".html"));
    std::fs::write(&file, text).unwrap();
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (file, json, html, hgrm) =
        (text(&file), text(&json_file), text(&html_file), text(&folder.to_owned()));
    let output = loadgen(&["run", &file, "--json", &json, "--html", &html, "--hgrm", &hgrm]);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(json_file.exists(), "it could not run: {said}");
    Played {
        code: output.status.code(),
        said,
        json: serde_json::from_str(&std::fs::read_to_string(&json_file).unwrap()).unwrap(),
        json_file,
        html: std::fs::read_to_string(&html_file).unwrap(),
        html_file,
        folder: folder.to_owned(),
    }
}

impl Played {
    fn load(&self, name: &str) -> &Value {
        let loads = self.json["loads"].as_array().unwrap();
        loads.iter().find(|load| load["name"] == name).unwrap_or_else(|| panic!("no {name}: {}", self.json))
    }
}
