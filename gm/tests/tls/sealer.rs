use crate::pipe::Pair;
use crate::pki::{Pki, client_config, server_config, strict};
use gm::tls::TLS_SM4_GCM_SM3;
use gm::tls::record::{Sealer, seal_for_all};
use gm::x509::Usage;
use rustls::ClientConnection;
use std::io::Read;

/// Connections of a server whose sending keys were taken out of rustls: the clients read what is sealed for all.
#[test]
fn clients_read_what_is_sealed_for_all_of_them() {
    let pki = Pki::new();
    let (mut clients, mut sealers): (Vec<ClientConnection>, Vec<Sealer>) = (0..13)
        .map(|_| {
            let mut server = server_config(strict(), &pki.identity("localhost", Usage::Server), None);
            server.enable_secret_extraction = true;
            let mut pair = Pair::new(client_config(strict(), pki.roots(), None), server);
            pair.run().unwrap();
            assert_eq!(pair.server.negotiated_cipher_suite().unwrap().suite(), TLS_SM4_GCM_SM3);
            let (sequence, secrets) = pair.server.dangerous_extract_secrets().unwrap().tx;
            (pair.client, Sealer::from_secrets(sequence, &secrets).unwrap())
        })
        .unzip();
    let mut outputs = vec![Vec::new(); clients.len()];
    let payloads: Vec<Vec<u8>> = [1, 64, 300, 5000].map(|len| vec![len as u8; len]).into();
    for payload in &payloads {
        let mut due: Vec<_> = sealers.iter_mut().zip(&mut outputs).collect();
        seal_for_all(&mut due, payload).unwrap();
    }
    for (client, output) in clients.iter_mut().zip(&outputs) {
        let mut rest = &output[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
        for payload in &payloads {
            let mut read = vec![0; payload.len()];
            client.reader().read_exact(&mut read).unwrap();
            assert_eq!(read, *payload);
        }
    }
}
