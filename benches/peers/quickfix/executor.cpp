// A QuickFIX acceptor that takes every order and fills it: the peer that the gateway and its core are measured beside.
//
//   executor SETTINGS memory|file [threaded]
//
// Each NewOrderSingle gets two ExecutionReports, as the gateway's clients get them: accepted (150=0), filled (150=F).
// Prints "ready" and ends at the end of its input.
#include <iostream>
#include <memory>
#include <string>

#include <quickfix/Application.h>
#include <quickfix/FileStore.h>
#include <quickfix/MessageStore.h>
#include <quickfix/Session.h>
#include <quickfix/SessionSettings.h>
#include <quickfix/SocketAcceptor.h>
#include <quickfix/ThreadedSocketAcceptor.h>
#include <quickfix/fix44/ExecutionReport.h>
#include <quickfix/fix44/MessageCracker.h>
#include <quickfix/fix44/NewOrderSingle.h>

namespace {

class Executor : public FIX::Application, public FIX44::MessageCracker {
public:
  void onCreate(const FIX::SessionID &) {}
  void onLogon(const FIX::SessionID &) {}
  void onLogout(const FIX::SessionID &) {}
  void toAdmin(FIX::Message &, const FIX::SessionID &) {}
  void toApp(FIX::Message &, const FIX::SessionID &) throw(FIX::DoNotSend) {}
  void fromAdmin(const FIX::Message &, const FIX::SessionID &) throw(
      FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::RejectLogon) {}
  void fromApp(const FIX::Message &message, const FIX::SessionID &id) throw(
      FIX::FieldNotFound, FIX::IncorrectDataFormat, FIX::IncorrectTagValue, FIX::UnsupportedMessageType) {
    crack(message, id);
  }

  using FIX44::MessageCracker::onMessage;
  void onMessage(const FIX44::NewOrderSingle &order, const FIX::SessionID &id) {
    FIX::ClOrdID clOrdID;
    FIX::Side side;
    FIX::OrderQty quantity;
    FIX::Price price;
    order.get(clOrdID);
    order.get(side);
    order.get(quantity);
    order.get(price);
    const std::string number = std::to_string(++orders_);
    report(order, id, number, clOrdID, side, quantity, FIX::ExecType_NEW, FIX::OrdStatus_NEW, 0, price);
    report(order, id, number, clOrdID, side, quantity, FIX::ExecType_TRADE, FIX::OrdStatus_FILLED, quantity, price);
  }

private:
  void report(const FIX44::NewOrderSingle &order, const FIX::SessionID &id, const std::string &number,
              const FIX::ClOrdID &clOrdID, const FIX::Side &side, double quantity, char execType, char status,
              double filled, const FIX::Price &price) {
    FIX44::ExecutionReport message(FIX::OrderID(number), FIX::ExecID(std::to_string(++reports_)), FIX::ExecType(execType),
                                   FIX::OrdStatus(status), side, FIX::LeavesQty(quantity - filled),
                                   FIX::CumQty(filled), FIX::AvgPx(filled > 0 ? double(price) : 0));
    for (int tag : {FIX::FIELD::Account, FIX::FIELD::Symbol, FIX::FIELD::SecurityID, FIX::FIELD::SecurityExchange})
      if (order.isSetField(tag)) message.setField(tag, order.getField(tag));
    message.set(clOrdID);
    message.set(FIX::OrderQty(quantity));
    message.set(FIX::TransactTime(FIX::UtcTimeStamp(), 3));
    if (filled > 0) {
      message.set(FIX::LastQty(filled));
      message.set(FIX::LastPx(price));
    }
    FIX::Session::sendToTarget(message, id);
  }

  unsigned long orders_ = 0, reports_ = 0;
};

}  // namespace

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  try {
    FIX::SessionSettings settings(argv[1]);
    Executor executor;
    std::unique_ptr<FIX::MessageStoreFactory> stores;
    if (std::string(argv[2]) == "file")
      stores.reset(new FIX::FileStoreFactory(settings));
    else
      stores.reset(new FIX::MemoryStoreFactory());
    std::unique_ptr<FIX::Acceptor> acceptor;
    if (argc > 3)
      acceptor.reset(new FIX::ThreadedSocketAcceptor(executor, *stores, settings));
    else
      acceptor.reset(new FIX::SocketAcceptor(executor, *stores, settings));
    acceptor->start();
    std::cout << "ready" << std::endl;
    std::string line;
    while (std::getline(std::cin, line)) {
    }
    acceptor->stop(true);
    return 0;
  } catch (std::exception &error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}
