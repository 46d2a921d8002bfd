//! Records by themselves: keys that are used up, bytes that are no records.

use super::handshake::{Next, Party, coherent};
use super::local_settings;
use super::records::{Records, Schedule};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use tempfile::TempDir;

/// A client's records and a server's, after a handshake in memory. The client's next record has this number.
fn pair(sequence: u64) -> (Records, Records) {
    let folder = TempDir::new().unwrap();
    let settings = local_settings(folder.path(), false).unwrap();
    let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut client = UnbufferedClientConnection::new(settings.client().unwrap(), name).unwrap();
    let choice = settings.server_choice().unwrap();
    let mut server = UnbufferedServerConnection::new(choice.first().clone()).unwrap();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    loop {
        let client_is_done = step(&mut client, &mut down, &mut up);
        let server_is_done = step(&mut server, &mut up, &mut down);
        if client_is_done && server_is_done && up.is_empty() && down.is_empty() {
            break;
        }
    }
    let (mut secrets, kernel) = client.dangerous_into_kernel_connection().unwrap();
    secrets.tx.0 = sequence;
    let client = Records::new(Schedule::Client(kernel), secrets).unwrap();
    let (mut secrets, kernel) = server.dangerous_into_kernel_connection().unwrap();
    secrets.rx.0 = sequence;
    (client, Records::new(Schedule::Server(kernel), secrets).unwrap())
}

fn step(party: &mut impl Party, incoming: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
    loop {
        let progress = party.advance(incoming, out, &mut Vec::new());
        incoming.drain(..progress.consumed);
        match progress.next.unwrap() {
            Next::Look => {}
            Next::Read => return false,
            Next::Established | Next::Ended => return true,
        }
    }
}

fn opened(records: &mut Records, mut sealed: Vec<u8>) -> Vec<u8> {
    let opened = records.open(&mut sealed);
    assert!(opened.failed.is_none(), "{:?}", opened.failed);
    assert_eq!(opened.consumed, sealed.len());
    sealed.truncate(opened.plain);
    sealed
}

#[test]
fn a_key_is_changed_before_it_is_used_up() {
    let limit = gm::tls::SM4_GCM_SM3.common.confidentiality_limit;
    let (mut client, mut server) = pair(limit - 4);
    for round in 0..10_u8 {
        let mut sealed = Vec::new();
        client.seal(&[IoSlice::new(&[round])], 1, &mut sealed).unwrap();
        // With the last record but one of a key, the new one is announced.
        assert_eq!(sealed.len() > 2 * (5 + 1 + 16), round == 3, "round {round}");
        assert_eq!(opened(&mut server, sealed), [round]);
    }
    let (mut client, _) = pair(limit - 1);
    assert!(client.sealer().is_none(), "nothing is sealed with others under a key that must change");
    let (mut client, _) = pair(limit - 2);
    assert!(client.sealer().is_some());
}

#[test]
fn slices_become_records_of_the_longest_kind() {
    let (mut client, mut server) = pair(0);
    let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let slices: Vec<_> = bytes.chunks(777).map(IoSlice::new).collect();
    let mut sealed = Vec::new();
    let total = client.seal(&slices, 65_536, &mut sealed).unwrap();
    assert_eq!(total, 65_536);
    // 64 slices to a record at the most; each brings header, content type and tag.
    assert_eq!((sealed.len() - total) % (5 + 1 + 16), 0);
    assert_eq!(opened(&mut server, sealed), bytes[..65_536]);
}

#[test]
fn a_record_comes_in_any_number_of_pieces() {
    let (mut client, mut server) = pair(0);
    let mut sealed = Vec::new();
    for len in [1_usize, 300, 0, 16_384, 7] {
        client.seal(&[IoSlice::new(&vec![len as u8; len])], len, &mut sealed).unwrap();
    }
    let (mut kept, mut plain) = (Vec::new(), Vec::new());
    for piece in sealed.chunks(97) {
        kept.extend_from_slice(piece);
        let opened = server.open(&mut kept);
        assert!(opened.failed.is_none());
        plain.extend_from_slice(&kept[..opened.plain]);
        kept.drain(..opened.consumed);
    }
    assert!(kept.is_empty());
    assert_eq!(plain.len(), 1 + 300 + 16_384 + 7);
}

#[test]
fn what_is_no_record_is_refused_without_waiting_for_more() {
    for header in [[22, 3, 3, 0, 1], [23, 3, 3, 0x41, 1], [23, 3, 3, 0xff, 0xff], [0; 5]] {
        let (_, mut server) = pair(0);
        assert!(server.open(&mut header.to_vec()).failed.is_some(), "{header:?}");
    }
    let (_, mut server) = pair(0);
    let mut forged = vec![0; 5 + 40];
    forged[..5].copy_from_slice(&[23, 3, 3, 0, 40]);
    assert!(server.open(&mut forged).failed.is_some());
}

#[test]
fn shangmi_is_whole_or_not_at_all() {
    let sm4 = Some(rustls::SupportedCipherSuite::Tls13(&gm::tls::SM4_GCM_SM3));
    let groups = gm::tls::provider(gm::tls::Mode::Mixed).kx_groups;
    let (mut good, mut bad) = (0, 0);
    for group in groups {
        match coherent(sm4, Some(group)) {
            Ok(()) => good += 1,
            Err(_) => bad += 1,
        }
    }
    assert_eq!(good, 2, "curveSM2 and the hybrid");
    assert!(bad > 0);
}

#[test]
fn records_that_carry_nothing_do_not_go_on_for_ever() {
    let (mut client, mut server) = pair(0);
    let mut outcomes = Vec::new();
    for round in 0..100 {
        let mut sealed = Vec::new();
        // In between comes data, which makes up for what carried none.
        let payload: &[u8] = if round == 30 { b"data" } else { b"" };
        client.seal_one(payload, &mut sealed);
        outcomes.push(server.open(&mut sealed).failed.is_some());
    }
    let first = outcomes.iter().position(|failed| *failed);
    assert_eq!(first, Some(31 + 32));
}
