// A ZeroMQ PUB socket in front of a plain TCP socket: what comes there, messages of one size, is sent to all subscribers.
//
//   pub PUBLISHER_PORT SUBSCRIBER_PORT SIZE
//
// Nothing is dropped (no high-water mark): the publisher sees to it that it is not too far ahead.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const size_t size = std::strtoul(argv[3], nullptr, 10);
  if (size == 0 || size > 65536) return 2;

  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[1])));
  if (bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof address) || listen(listener, 1)) {
    std::perror("the publisher's port");
    return 1;
  }

  void *context = zmq_ctx_new();
  zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 65536);
  void *pub = zmq_socket(context, ZMQ_PUB);
  const int unbounded = 0, linger = 0, backlog = 4096;
  zmq_setsockopt(pub, ZMQ_SNDHWM, &unbounded, sizeof unbounded);
  zmq_setsockopt(pub, ZMQ_LINGER, &linger, sizeof linger);
  zmq_setsockopt(pub, ZMQ_BACKLOG, &backlog, sizeof backlog);
  if (zmq_bind(pub, (std::string("tcp://127.0.0.1:") + argv[2]).c_str())) {
    std::fprintf(stderr, "the subscribers' port: %s\n", zmq_strerror(zmq_errno()));
    return 1;
  }

  const int publisher = accept(listener, nullptr, nullptr);
  std::vector<char> buffer(131072);
  size_t held = 0;
  for (;;) {
    const ssize_t got = read(publisher, buffer.data() + held, buffer.size() - held);
    if (got <= 0) break;
    held += static_cast<size_t>(got);
    size_t at = 0;
    for (; held - at >= size; at += size)
      if (zmq_send(pub, buffer.data() + at, size, 0) < 0) return 1;
    std::copy(buffer.begin() + static_cast<long>(at), buffer.begin() + static_cast<long>(held), buffer.begin());
    held -= at;
  }
  pause();
}
