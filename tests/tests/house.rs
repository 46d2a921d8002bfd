//! The rules of the house, as tests: which way dependencies point, how long a file may be, what may not stay.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may depend on, of ours. Tests and benches may look further.
const MAY_USE: &[(&str, &[&str])] = &[
    ("manual", &[]),
    ("wire", &[]),
    ("fix", &[]),
    ("flow", &[]),
    ("journal", &["manual"]),
    ("gm", &["manual"]),
    ("transport", &["gm"]),
    ("shard", &["flow", "transport"]),
    ("service", &["gm", "transport"]),
    ("core-port", &["wire", "flow", "journal", "transport", "shard", "service"]),
    ("feed", &["manual", "wire", "flow", "journal", "transport", "shard", "service"]),
    ("gateway", &["manual", "wire", "fix", "flow", "journal", "transport", "shard", "service"]),
    ("matcher-stub", &["manual", "wire", "flow", "transport", "shard", "service", "core-port"]),
    // Payload-blind: it must not know what it carries.
    ("slb", &["manual", "transport", "service"]),
    ("broker-example", &["wire", "journal", "service", "core-port", "feed", "gateway"]),
    (
        "loadgen",
        &[
            "manual",
            "wire",
            "fix",
            "flow",
            "journal",
            "gm",
            "transport",
            "shard",
            "service",
            "feed",
            "gateway",
            "matcher-stub",
            "slb",
        ],
    ),
    ("benches", &["gm", "journal", "loadgen", "transport", "wire"]),
    ("counts", &["wire", "fix", "flow", "gm", "service", "gateway", "matcher-stub", "slb"]),
    ("tests", &[]),
];

/// Sans-I/O crates name no runtime.
const WITHOUT_RUNTIME: &[&str] = &["wire", "fix", "flow"];

/// Beyond this a file wants to be two.
const LINES_MAX: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").to_owned()
}

/// (crate, its normal dependencies) of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

/// Files whose names end so, but for what is built and what is hidden.
fn files_that_end(ending: &str, folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                files_that_end(ending, &path, files);
            }
        } else if name.ends_with(ending) {
            files.push(path);
        }
    }
}

#[test]
fn dependencies_point_one_way() {
    let dependencies = dependencies();
    let ours: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for (name, used) in &dependencies {
        let (_, allowed) = MAY_USE.iter().find(|(rule, _)| rule == name).unwrap_or_else(|| {
            panic!("{name} has no rule: say in tests/tests/house.rs what it may depend on")
        });
        for used in used.iter().filter(|used| ours.contains(used.as_str())) {
            assert!(allowed.contains(&used.as_str()), "{name} must not depend on {used}");
        }
    }
    for name in WITHOUT_RUNTIME {
        assert!(!dependencies[*name].contains("tokio"), "{name} must not name a runtime");
    }
}

#[test]
fn files_are_of_a_readable_length() {
    let mut files = Vec::new();
    files_that_end(".rs", &root(), &mut files);
    assert!(files.len() > 20, "the house was found");
    for file in files {
        let lines = std::fs::read_to_string(&file).expect("text").lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: split it", file.display());
    }
}

#[test]
fn nothing_is_left_for_later_without_an_owner() {
    let mut files = Vec::new();
    files_that_end(".rs", &root(), &mut files);
    let this = Path::new(file!()).file_name();
    for file in files.iter().filter(|file| file.file_name() != this) {
        let text = std::fs::read_to_string(file).expect("text");
        for (number, line) in text.lines().enumerate() {
            for word in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "#[ignore"] {
                assert!(!line.contains(word), "{}:{}: {word}", file.display(), number + 1);
            }
        }
    }
}

#[test]
fn hot_files_say_so_and_keep_their_rules() {
    let mut files = Vec::new();
    files_that_end(".rs", &root(), &mut files);
    let mut hot = 0;
    for file in files.iter().filter(|file| file.components().any(|part| part.as_os_str() == "src")) {
        let text = std::fs::read_to_string(file).expect("text");
        if !text.starts_with("//! Hot path:") {
            continue;
        }
        hot += 1;
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ["Mutex<", "RwLock<", "format!(", "println!("] {
            assert!(!code.contains(word), "{} is hot and has {word}", file.display());
        }
    }
    assert!(hot >= 3, "the hot loops are marked");
}

#[test]
fn files_that_the_documents_name_are_there() {
    let (root, mut files) = (root(), Vec::new());
    files_that_end("", &root, &mut files);
    let within = |file: &PathBuf| file.strip_prefix(&root).ok()?.to_str().map(str::to_owned);
    let files: Vec<String> = files.iter().filter_map(within).collect();
    let endings: BTreeSet<&str> =
        files.iter().filter_map(|file| file.rsplit_once('.')).map(|(_, end)| end).collect();
    // A document may leave out what the file stands in.
    let is_there = |name: &str| {
        let above =
            |file: &String| file.strip_suffix(name).is_some_and(|up| up.is_empty() || up.ends_with('/'));
        files.iter().any(above)
    };
    let mut named = 0;
    for document in files.iter().filter(|file| file.ends_with(".md")) {
        let text = std::fs::read_to_string(root.join(document)).expect("text");
        let mut is_command = false;
        for line in text.lines() {
            is_command ^= line.trim_start().starts_with("```");
            // A path with an ending that files of ours have; neither `/metrics` nor `./x` is one.
            let is_file = |name: &str| {
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
                    && !name.starts_with(['/', '.'])
                    && name.contains('/')
                    && name.rsplit_once('.').is_some_and(|(_, end)| endings.contains(end))
            };
            for name in line.split('`').skip(1).step_by(2).filter(|name| !is_command && is_file(name)) {
                named += 1;
                assert!(is_there(name), "{document} names `{name}`, which is not there");
            }
        }
    }
    assert!(named > 50, "files are named: {named}");
}
