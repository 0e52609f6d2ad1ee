// SPDX-License-Identifier: Apache-2.0

// tap ADDRESS UPSTREAM: a server at ADDRESS that passes every call on to the one at UPSTREAM, and says which they were.
// It knows no method: messages go through as bytes. (Streams go one way at a time here: first up, then down.)
#include <iostream>
#include <memory>
#include <mutex>
#include <string>

#include "nearcall/generic.h"
#include "nearcall/nearcall.h"

namespace {

using nearcall::Bytes;

class Tap final : public nearcall::GenericService {
 public:
  explicit Tap(std::shared_ptr<nearcall::Channel> upstream) : stub_(std::move(upstream)) {}

 private:
  absl::Status Call(nearcall::ServerContext& context, nearcall::CallKind kind,
                    nearcall::ServerReaderWriter<Bytes, Bytes>& stream) override {
    absl::Status status = kind == nearcall::CallKind::kUnary ? PassUnary(context, stream) : PassStream(context, stream);
    const std::lock_guard lock(mutex_);
    std::cout << context.method() << ": " << absl::StatusCodeToString(status.code()) << std::endl;
    return status;
  }

  absl::Status PassUnary(nearcall::ServerContext& context, nearcall::ServerReaderWriter<Bytes, Bytes>& stream) {
    Bytes request;
    if (!stream.Read(&request)) return absl::InternalError("a call without a request");
    // The deadline, the priority, and that the caller has cancelled, go on with it.
    const auto reply = stub_.Unary(context.method(), request, nearcall::CallOptions::FromServer(context));
    if (reply.ok()) stream.Write(*reply);
    return reply.status();
  }

  absl::Status PassStream(nearcall::ServerContext& context, nearcall::ServerReaderWriter<Bytes, Bytes>& stream) {
    const auto call = stub_.BidiStreaming(context.method(), nearcall::CallOptions::FromServer(context));
    Bytes message;
    while (stream.Read(&message) && call->Write(message)) continue;
    call->WritesDone();
    while (call->Read(&message) && stream.Write(message)) continue;
    return call->Finish();
  }

  const nearcall::GenericStub stub_;
  std::mutex mutex_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: tap ADDRESS UPSTREAM\n";
    return 2;
  }
  const auto upstream = nearcall::Channel::Connect(argv[2], {.connect_timeout = absl::Seconds(5)});
  if (!upstream.ok()) {
    std::cerr << upstream.status() << "\n";
    return 1;
  }
  Tap tap(*upstream);
  auto server = nearcall::ServerBuilder({.handle_signals = true}).Listen(argv[1]).RegisterGeneric(&tap).Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();
}
