//! The program `gm`: certificates from the command line, with keys in the clear and encrypted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use gm::sm2::SecretKey;
use gm::x509::{AltName, Authority, Leaf, Subject, Usage, Validity, decode_pem, encode_pem};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gm"));
    command.args(arguments.split_whitespace()).current_dir(folder).env("GM_TEST_PASSWORD", "口令 secret");
    command
}

fn gm(folder: &Path, arguments: &str) -> Output {
    command(folder, arguments).output().unwrap()
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
fn one_end_talks_to_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(folder, "ca --name Root");
    done(folder, "cert --name server --dns localhost --out server");
    done(folder, "cert --name client --for client --out client");
    let serve =
        "serve --listen 127.0.0.1:0 --cert server.crt --key server.key --client-ca ca.crt --connections 3";
    let mut server = command(folder, serve).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = said.next().unwrap().unwrap();
    let address = line.strip_prefix("listening on ").unwrap();
    let connect = |arguments: &str| {
        let arguments = format!("connect {address} --ca ca.crt {arguments}");
        let mut client =
            command(folder, &arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Who was refused may be gone before it is told anything.
        if let Err(error) = client.stdin.take().unwrap().write_all("一行\nanother\n".as_bytes()) {
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        client.wait_with_output().unwrap()
    };
    for (arguments, group) in [("", "curveSM2"), ("--hybrid", "curveSM2MLKEM768")] {
        let output = connect(&format!("--cert client.crt --key client.key {arguments}"));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        assert!(
            text.contains("suite: TLS_SM4_GCM_SM3") && text.contains(&format!("group: {group}\n")),
            "{text}"
        );
        assert!(
            text.contains("peer: subject: C=CN, CN=server") && text.ends_with("一行\nanother\n"),
            "{text}"
        );
    }
    // Without a certificate it is let in to nothing.
    assert!(!connect("").status.success());
    assert!(server.wait().unwrap().success());
    let said: Vec<String> = said.map(Result::unwrap).collect();
    assert!(said.iter().any(|line| line == "peer: subject: C=CN, CN=client"), "{said:?}");
    assert!(said.last().unwrap().contains("peer sent no certificates"), "{said:?}");
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

/// As `head` leaves it: who reads is gone, before anything is written or after the first line.
#[test]
fn whoever_reads_may_have_seen_enough() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let left = |arguments: &str, lines: usize| {
        let mut child =
            command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        assert_eq!(out.lines().take(lines).map(Result::unwrap).count(), lines, "gm {arguments}");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "gm {arguments}: {}", said(&output));
    };
    // What is to be written is written all the same.
    left("ca --name Root", 0);
    // More than a pipe holds, so that something is left to be written whenever the reader goes.
    let many = format!("inspect {}", "ca.crt ".repeat(300));
    left("inspect ca.crt", 0);
    left(&many, 0);
    left(&many, 1);
    // A disk that is full is an error all the same, and said as one.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(folder, "inspect ca.crt").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("writing the output"), "{}", said(&output));
}

#[test]
fn what_is_wrong_is_said_by_the_name_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("notes"), "neither PEM nor DER").unwrap();
    done(folder, "ca --name Root");
    done(folder, "cert --name a --out a");
    done(folder, "cert --name b --out b");
    let serve = |files: &str| refused(folder, &format!("serve --listen 127.0.0.1:0 {files}"));
    for (error, wanted) in [
        (refused(folder, "inspect nothing"), "reading nothing"),
        (refused(folder, "inspect notes"), "neither PEM nor a certificate"),
        (serve("--cert a.key --key a.key"), "a.key holds no CERTIFICATE"),
        (serve("--cert a.crt --key a.crt"), "a.crt holds no private key"),
        (serve("--cert a.crt --key b.key"), "the key in b.key is not that of the certificate in a.crt"),
        (serve("--cert a.crt --key a.key --client-ca a.key"), "a.key holds no CERTIFICATE"),
        (serve("--cert notes --key a.key"), "reading notes"),
        // An address for documentation (RFC 5737): it is nobody's.
        (refused(folder, "serve --listen 192.0.2.1:1 --cert a.crt --key a.key"), "listening on 192.0.2.1:1"),
        (refused(folder, "connect 127.0.0.1:1 --ca ca.crt"), "connecting to 127.0.0.1:1"),
        (refused(folder, "connect 127.0.0.1:1 --ca ca.key"), "ca.key holds no CERTIFICATE"),
        (refused(folder, "cert --ca a --name x --out x"), "taking a.crt as an authority"),
        (refused(folder, "cert --ca a --name x --out x"), "the certificate is not an authority's"),
        (refused(folder, "cert --csr a.crt --out x"), "a.crt holds no CERTIFICATE REQUEST"),
        (refused(folder, "cert --csr notes --out x"), "reading notes"),
    ] {
        assert!(error.contains(wanted), "{wanted:?} in {error}");
    }
    assert!(done(folder, "inspect a.crt").contains("valid now: yes"));
}

/// An authority `old` that was valid for one second in 2023, and a certificate of the authority `ca` that was too.
fn make_expired(folder: &Path) {
    let validity = Validity { not_before_s: 1_700_000_000, not_after_s: 1_700_000_001 };
    let write = |name: &str, label: &str, der: &[u8]| {
        std::fs::write(folder.join(name), encode_pem(label, der)).unwrap();
    };
    let subject = Subject { common_name: "Old".into(), ..Subject::default() };
    let key = SecretKey::generate().unwrap();
    let old = Authority::root(&subject, key.clone(), validity).unwrap();
    write("old.crt", "CERTIFICATE", old.certificate());
    write("old.key", "PRIVATE KEY", &key.to_pkcs8_der());
    let section = |name: &str| decode_pem(&std::fs::read_to_string(folder.join(name)).unwrap()).remove(0).1;
    let ca = SecretKey::from_pkcs8_der(&section("ca.key")).unwrap();
    let ca = Authority::new(section("ca.crt").to_vec(), ca).unwrap();
    let leaf = Leaf {
        subject: &subject,
        alt_names: &[AltName::Dns("localhost".into())],
        usage: Usage::Server,
        public_key: key.public_key(),
        validity,
    };
    write("server.crt", "CERTIFICATE", &ca.issue(&leaf).unwrap());
    write("server.key", "PRIVATE KEY", &key.to_pkcs8_der());
}

#[test]
fn what_has_expired_is_said_to_have() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(folder, "ca --name Root");
    make_expired(folder);
    let shown = done(folder, "inspect old.crt server.crt");
    assert_eq!(shown.matches("valid now: no, it has expired").count(), 2, "{shown}");
    let error = refused(folder, "cert --ca old --name x --out x");
    assert!(error.contains("taking old.crt as an authority") && error.contains("it has expired"), "{error}");
    assert!(!folder.join("x.key").exists());
    // To a client it says since when.
    let serve = "serve --listen 127.0.0.1:0 --cert server.crt --key server.key --connections 1";
    let mut server = command(folder, serve).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = said.next().unwrap().unwrap();
    let address = line.strip_prefix("listening on ").unwrap();
    let error = refused(folder, &format!("connect {address} --ca ca.crt"));
    assert!(error.contains("certificate expired") && error.contains("seconds ago"), "{error}");
    assert!(server.wait().unwrap().success());
    let said: Vec<String> = said.map(Result::unwrap).collect();
    assert!(said.last().unwrap().contains("CertificateExpired"), "{said:?}");
}

#[test]
fn speed_tells_each_figure_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Who reads is gone at once, as `head` may be: the file is whole all the same.
    let mut child =
        command(folder, "speed --slice-ms 1 --json speed.json").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    let figures = std::fs::read_to_string(folder.join("speed.json")).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    for figures in [&figures, &figures["rustcrypto"]] {
        let sealing = &figures["sm4_gcm_mb_s"];
        let sizes = ["64", "256", "1024", "16384"].map(|size| &sealing[size]);
        let others = [
            "sm3_mb_s",
            "sm2_sign_s",
            "sm2_verify_s",
            "sm2_ecdh_s",
            "sm2_keygen_s",
            "handshakes_s",
            "handshakes_mutual_s",
        ]
        .map(|figure| &figures[figure]);
        for figure in sizes.iter().chain(&others) {
            assert!(figure.as_f64().is_some_and(|rate| rate > 0.0), "{figures}");
        }
    }
}
