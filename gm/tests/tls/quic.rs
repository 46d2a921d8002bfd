use crate::pki::{Pki, client_config, server_config, strict};
use gm::tls::quic_initial_suite;
use gm::x509::Usage;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A stream over QUIC with mutual authentication, and a change of keys in its middle.
#[tokio::test]
async fn a_stream_over_quic() {
    let pki = Pki::new();
    let mut server = server_config(strict(), &pki.identity("localhost", Usage::Server), Some(pki.roots()));
    let mut client = client_config(strict(), pki.roots(), Some(&pki.identity("client", Usage::Client)));
    server.alpn_protocols = vec![b"tongdao".to_vec()];
    client.alpn_protocols = vec![b"tongdao".to_vec()];
    let server = QuicServerConfig::with_initial(Arc::new(server), quic_initial_suite()).unwrap();
    let listener = Endpoint::server(ServerConfig::with_crypto(Arc::new(server)), LOCAL).unwrap();
    let address = listener.local_addr().unwrap();
    let echo = tokio::spawn(async move {
        let connection = listener.accept().await.unwrap().await.unwrap();
        let data = connection.handshake_data().unwrap().downcast::<HandshakeData>().unwrap();
        assert_eq!(data.protocol.as_deref(), Some(&b"tongdao"[..]));
        assert!(connection.peer_identity().is_some());
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let message = receive.read_to_end(1 << 20).await.unwrap();
            send.write_all(&message).await.unwrap();
            send.finish().unwrap();
        }
    });
    let client = QuicClientConfig::with_initial(Arc::new(client), quic_initial_suite()).unwrap();
    let mut endpoint = Endpoint::client(LOCAL).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(client)));
    let connection = endpoint.connect(address, "localhost").unwrap().await.unwrap();
    let message: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
    for _ in 0..3 {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&message).await.unwrap();
        send.finish().unwrap();
        assert_eq!(receive.read_to_end(1 << 20).await.unwrap(), message);
        connection.force_key_update();
    }
    connection.close(0u32.into(), b"done");
    echo.await.unwrap();
}
