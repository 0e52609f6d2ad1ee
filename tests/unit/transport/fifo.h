// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "process.h"
#include "transport/rendezvous.h"

// Servers and clients that meet at FIFOs, in one process and one thread.
namespace nearcall::transport::testing {

inline ServeParams FifoServer() {
  ServeParams params;
  params.transports = {FindTransport("fifo")};
  params.terms = {.max_message_size = 1000, .max_calls_in_flight = 5};
  params.server_id = 7;
  params.connection_id = 8;
  return params;
}

class FifoMeeting {
 public:
  explicit FifoMeeting(const std::string& name = "meeting")
      : address_(ParseAddress(absl::StrCat("fifo:", directory_ / name)).value()) {}

  const TemporaryDirectory& directory() const { return directory_; }
  const Address& address() const { return address_; }
  std::string c2s() const { return address_.name + ".c2s"; }

  std::unique_ptr<Dial> Call(base::SteadyNs deadline = Soon()) const {
    return Dial::Start(address_, {.deadline = deadline, .terms = {.max_message_size = 2000}}, Dial::Blocking::kNever);
  }

  // Takes steps of both until `dial` has an outcome; its server's connection is then in `served`.
  absl::StatusOr<Connection> Meet(Listener& listener, Dial& dial, const ServeParams& params = FifoServer()) {
    std::optional<absl::StatusOr<Connection>> outcome;
    for (const base::SteadyNs end = Soon(); !outcome && base::NowNs() < end;) {
      outcome = dial.Step();
      Newcomer newcomer = listener.Accept();
      if (newcomer.shake_hands != nullptr) handshakes.push_back(std::move(newcomer.shake_hands)(ServeParams(params)));
      for (const auto& handshake : handshakes) {
        if (handshake->Step() == ServerHandshake::Progress::kDone) served.push_back(handshake->Take());
      }
      std::erase_if(handshakes, [](auto& one) { return one->Step() != ServerHandshake::Progress::kWaiting; });
    }
    if (!outcome) return absl::DeadlineExceededError("no outcome");
    return *std::move(outcome);
  }

  std::vector<std::unique_ptr<ServerHandshake>> handshakes;
  std::vector<Connection> served;

 private:
  TemporaryDirectory directory_;
  const Address address_;
};

}  // namespace nearcall::transport::testing
