// A QuickFIX engine as the other end of a test: reads commands, prints what happens, one line each.
//
//   peer initiator|acceptor SETTINGS
//
// An initiator logs on as PEER_USERNAME ("user" where it is not set) with the password "secret".
//
// Commands: send 35=D|11=...   a message, TransactTime "now" filled in
//           sender N, target N  set the next number sent or expected
//           logon, logout, quit
// Prints:   ready, logon, logout, numbers SENDER TARGET, in MESSAGE, out MESSAGE, refused MESSAGE
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>

#include <quickfix/Application.h>
#include <quickfix/FileStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketAcceptor.h>
#include <quickfix/SocketInitiator.h>

namespace {

std::mutex print_lock;

void say(const std::string &line) {
  std::lock_guard<std::mutex> guard(print_lock);
  std::cout << line << std::endl;
}

std::string text(const FIX::Message &message) {
  std::string bytes = message.toString();
  for (char &byte : bytes)
    if (byte == '\001') byte = '|';
  return bytes;
}

class Peer : public FIX::Application {
public:
  explicit Peer(bool initiator) : initiator_(initiator) {}
  void onCreate(const FIX::SessionID &id) { id_ = id; }
  void onLogon(const FIX::SessionID &) { say("logon"); }
  void onLogout(const FIX::SessionID &) { say("logout"); }
  void toAdmin(FIX::Message &message, const FIX::SessionID &) {
    FIX::MsgType type;
    message.getHeader().getField(type);
    if (initiator_ && type == FIX::MsgType_Logon) {
      const char *user = std::getenv("PEER_USERNAME");
      message.setField(FIX::Username(user ? user : "user"));
      message.setField(FIX::Password("secret"));
    }
    say("out " + text(message));
  }
  void toApp(FIX::Message &message, const FIX::SessionID &) throw(FIX::DoNotSend) { say("out " + text(message)); }
  void fromAdmin(const FIX::Message &message, const FIX::SessionID &) throw(
      FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::RejectLogon) {
    say("in " + text(message));
  }
  void fromApp(const FIX::Message &message, const FIX::SessionID &) throw(
      FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::UnsupportedMessageType) {
    say("in " + text(message));
  }
  FIX::SessionID id_;

private:
  bool initiator_;
};

void send(const FIX::SessionID &id, const std::string &fields) {
  FIX::Message message;
  std::istringstream parts(fields);
  std::string part;
  while (std::getline(parts, part, '|')) {
    const auto equals = part.find('=');
    const int tag = std::stoi(part.substr(0, equals));
    const std::string value = part.substr(equals + 1);
    if (tag == FIX::FIELD::MsgType || tag == FIX::FIELD::PossDupFlag || tag == FIX::FIELD::PossResend)
      message.getHeader().setField(tag, value);
    else if (value == "now")
      message.setField(FIX::TransactTime(FIX::UtcTimeStamp(), 3));
    else
      message.setField(tag, value);
  }
  FIX::Session::sendToTarget(message, id);
}

void command(const FIX::SessionID &id, const std::string &line) {
  FIX::Session *session = FIX::Session::lookupSession(id);
  std::istringstream words(line);
  std::string verb, rest;
  words >> verb >> std::ws;
  std::getline(words, rest);
  if (verb == "send") {
    send(id, rest);
  } else if (verb == "sender") {
    session->setNextSenderMsgSeqNum(std::stoi(rest));
  } else if (verb == "target") {
    session->setNextTargetMsgSeqNum(std::stoi(rest));
  } else if (verb == "logon") {
    session->logon();
  } else if (verb == "logout") {
    session->logout(rest);
  }
  say("numbers " + std::to_string(session->getExpectedSenderNum()) + " " +
      std::to_string(session->getExpectedTargetNum()));
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  try {
    const bool initiator = std::string(argv[1]) == "initiator";
    FIX::SessionSettings settings(argv[2]);
    FIX::FileStoreFactory stores(settings);
    Peer peer(initiator);
    std::unique_ptr<FIX::Initiator> initiates;
    std::unique_ptr<FIX::Acceptor> accepts;
    if (initiator) {
      initiates.reset(new FIX::SocketInitiator(peer, stores, settings));
      initiates->start();
    } else {
      accepts.reset(new FIX::SocketAcceptor(peer, stores, settings));
      accepts->start();
    }
    say("ready");
    std::string line;
    while (std::getline(std::cin, line) && line != "quit") command(peer.id_, line);
    if (initiates) initiates->stop(true);
    if (accepts) accepts->stop(true);
    return 0;
  } catch (std::exception &error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}
