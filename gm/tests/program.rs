//! The program `gm`: certificates from the command line, with keys in the clear and encrypted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::process::{Command, Output};

fn gm(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gm"));
    command.args(arguments.split_whitespace()).current_dir(folder).env("GM_TEST_PASSWORD", "口令 secret");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn done(folder: &Path, arguments: &str) -> String {
    let output = gm(folder, arguments);
    assert!(output.status.success(), "gm {arguments}: {}", said(&output));
    said(&output)
}

fn refused(folder: &Path, arguments: &str) -> String {
    let output = gm(folder, arguments);
    assert!(!output.status.success(), "gm {arguments} was not refused");
    said(&output)
}

#[test]
fn an_authority_and_its_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(folder, "ca --name Root");
    done(folder, "cert --name server --dns localhost --ip 127.0.0.1 --out server");
    let text = done(folder, "inspect server.crt server.key");
    assert!(text.contains("names: DNS:localhost, IP:127.0.0.1") && text.contains("public key: "), "{text}");
    done(folder, "csr --name other --dns other.example --out other");
    done(folder, "cert --csr other.csr --for both --out other");
    assert!(done(folder, "inspect other.crt").contains("TLS server, TLS client"));
    // Nothing is written over.
    assert!(refused(folder, "ca --name Root").contains("creating ca.key"));
}

#[test]
fn encrypted_keys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("password"), "口令 secret\nwhat follows is no part of it\n").unwrap();
    std::fs::write(folder.join("wrong"), "secret\n").unwrap();
    done(folder, "ca --name Root --encrypt --password-env GM_TEST_PASSWORD");
    let key = std::fs::read_to_string(folder.join("ca.key")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
    assert!(refused(folder, "cert --name a --out a").contains("--password-file"));
    let error = refused(folder, "cert --name a --out a --password-file wrong");
    assert!(error.contains("the password is wrong"), "{error}");
    // The authority's key is encrypted, the server's is not unless asked for.
    done(folder, "cert --name a --out a --password-file password");
    done(folder, "cert --name b --out b --password-file password --encrypt");
    assert!(done(folder, "inspect a.key").contains("public key"));
    assert!(refused(folder, "inspect b.key").contains("it is encrypted"));
    // A key that is there serves a request and a certificate.
    done(folder, "csr --name b --key b.key --out again --password-env GM_TEST_PASSWORD");
    done(folder, "cert --name b --key b.key --out again --password-file password");
    assert!(!folder.join("again.key").exists());
    let shown = done(folder, "inspect b.key --password-file password");
    let public = shown.split("PublicKey(").nth(1).unwrap().split(')').next().unwrap();
    assert!(done(folder, "inspect again.crt").contains(public));
    assert!(done(folder, "inspect again.csr").contains(public));
    // Passwords are not taken from the command line, and not guessed to be empty.
    assert!(refused(folder, "ca --name x --out x --encrypt").contains("--encrypt wants"));
    std::fs::write(folder.join("empty"), "\n").unwrap();
    assert!(refused(folder, "inspect b.key --password-file empty").contains("the password is empty"));
}
