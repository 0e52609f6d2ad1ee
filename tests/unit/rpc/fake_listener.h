// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "support/temporary_directory.h"
#include "transport/address.h"
#include "transport/rendezvous.h"
#include "unit/session/link.h"

namespace nearcall::rpc::testing {

using nearcall::testing::NameDirectory;

// A server's door without a server behind it: shakes hands with whoever comes, and hands the connection to `serve`,
// which runs in a thread of its own until it returns.
class FakeListener {
 public:
  using Serve = std::function<void(transport::Connection connection, const std::atomic<bool>& stopping)>;

  FakeListener(const std::string& name, Serve serve)
      : listener_(*transport::Listener::Bind(*transport::ParseAddress(name))),
        serve_(std::move(serve)),
        thread_([this] { Run(); }) {}
  FakeListener(const FakeListener&) = delete;
  FakeListener& operator=(const FakeListener&) = delete;
  ~FakeListener() {
    stopping_ = true;
    thread_.join();
  }

  int handshakes() const { return handshakes_; }

  // Hangs up at once.
  static void HangUp(transport::Connection, const std::atomic<bool>&) {}

  // Answers each request with its own payload.
  static void Echo(transport::Connection connection, const std::atomic<bool>& stopping) {
    session::testing::ScriptedPeer peer(std::move(connection));
    while (!stopping) {
      const auto request = peer.Receive(base::NowNs() + 5'000'000);
      if (request) peer.Reply(*request, request->payload);
    }
  }

 private:
  void Run() {
    std::vector<std::thread> serving;
    while (!stopping_) {
      pollfd door = {.fd = listener_->fd(), .events = POLLIN, .revents = 0};
      if (::poll(&door, 1, 5) != 1) continue;
      base::Fd socket(::accept4(listener_->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!socket.valid()) continue;
      auto handshake = transport::ServerHandshake::Start(std::move(socket), Params());
      if (!Finish(*handshake)) continue;
      ++handshakes_;
      serving.emplace_back([this, connection = std::make_shared<transport::Connection>(handshake->Take())] {
        serve_(std::move(*connection), stopping_);
      });
    }
    for (std::thread& thread : serving) thread.join();
  }

  static transport::ServeParams Params() {
    transport::ServeParams params;
    for (const transport::TransportRow& row : transport::Transports()) params.transports.push_back(&row);
    params.config.ring_size_bytes = base::kMinRingSize;
    params.terms = {.max_message_size = 1 << 20, .max_calls_in_flight = 64};
    params.server_id = 1;
    params.connection_id = 2;
    return params;
  }

  bool Finish(transport::ServerHandshake& handshake) {
    using Progress = transport::ServerHandshake::Progress;
    for (;;) {
      const Progress progress = handshake.Step();
      if (progress != Progress::kWaiting) return progress == Progress::kDone;
      if (stopping_) return false;
      pollfd socket = {.fd = handshake.fd(), .events = POLLIN, .revents = 0};
      ::poll(&socket, 1, 5);
    }
  }

  const std::unique_ptr<transport::Listener> listener_;
  const Serve serve_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> handshakes_{0};
  std::thread thread_;  // last: it uses the others
};

}  // namespace nearcall::rpc::testing
