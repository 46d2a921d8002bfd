//! Every configuration of `deploy` is one that its server takes: as `NAME --check-config` reads it, without the files that it names, which
//! are elsewhere. What is filled in where it runs (`@NAME@`) stands for itself.

use service::config::{self, Config};
use std::path::{Path, PathBuf};

fn configurations(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => configurations(&path, found),
            false if path.extension().is_some_and(|extension| extension == "toml") => found.push(path),
            false => {}
        }
    }
}

fn wrong<T: Config>(path: &Path) -> Option<String> {
    config::load::<T>(path).err().map(|error| format!("{error:#}"))
}

#[test]
fn configurations_are_taken_by_their_servers() {
    let mut found = Vec::new();
    configurations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy"), &mut found);
    assert!(found.len() >= 7, "{found:?}");
    let problems: Vec<_> = found
        .iter()
        .filter_map(|path| match path.file_name().and_then(|name| name.to_str()).unwrap_or_default() {
            name if name.starts_with("feed") => wrong::<feed::Config>(path),
            name if name.starts_with("gateway") => wrong::<gateway::Config>(path),
            name if name.starts_with("matcher-stub") => wrong::<matcher_stub::Config>(path),
            name if name.starts_with("slb") => wrong::<slb::Config>(path),
            _ => Some(format!("{}: whose is it?", path.display())),
        })
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
