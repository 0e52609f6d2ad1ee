// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "base/syscall.h"
#include "process.h"
#include "transport/rendezvous.h"

// Transports that carry nothing, to shake hands about.
namespace nearcall::transport::testing {

inline constexpr Geometry kFakeGeometry{11, 22, 33, 44};

class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(std::vector<base::Fd> fds = {}) : fds_(std::move(fds)) {}
  absl::string_view name() const override { return "fake"; }
  size_t max_frame_size() const override { return 1; }
  std::span<std::byte> Reserve(size_t, int) override { return {}; }
  void Fill(std::span<std::byte>, std::span<const std::byte>) override {}
  void Commit() override {}
  bool Notify() override { return false; }
  bool Ring() override { return true; }
  bool PeerHasReadAll() const override { return true; }
  ReadState Peek(size_t&) override { return ReadState::kEmpty; }
  void CopyOut(size_t, std::span<std::byte>) override {}
  void Pop() override {}
  void Release() override {}
  absl::Status error() const override { return absl::OkStatus(); }
  bool Arm(uint32_t, size_t) override { return false; }
  void Disarm() override {}
  void Wait(base::SteadyNs) override {}
  void Interrupt() override {}
  bool can_spin() const override { return false; }

 private:
  const std::vector<base::Fd> fds_;
};

class FakeOffer final : public TransportOffer {
 public:
  explicit FakeOffer(size_t fd_count, absl::Status accept = absl::OkStatus()) : accept_(std::move(accept)) {
    for (size_t i = 0; i < fd_count; ++i) fds_.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  Geometry geometry() const override { return kFakeGeometry; }
  std::vector<int> fds() const override {
    std::vector<int> numbers;
    for (const base::Fd& fd : fds_) numbers.push_back(fd.get());
    return numbers;
  }
  absl::StatusOr<std::unique_ptr<Transport>> Accept() override {
    if (!accept_.ok()) return accept_;
    return std::make_unique<FakeTransport>();
  }

 private:
  const absl::Status accept_;
  std::vector<base::Fd> fds_;
};

template <size_t fd_count>
absl::StatusOr<std::unique_ptr<TransportOffer>> OfferFake(const TransportConfig&, const PeerIdentity&) {
  return std::make_unique<FakeOffer>(fd_count);
}

inline absl::StatusOr<std::unique_ptr<TransportOffer>> FailToOffer(const TransportConfig&, const PeerIdentity&) {
  return absl::ResourceExhaustedError("RLIMIT_FAKE is 7");
}

inline absl::StatusOr<std::unique_ptr<TransportOffer>> OfferAndFailToAccept(const TransportConfig&,
                                                                            const PeerIdentity&) {
  return std::make_unique<FakeOffer>(1, absl::InternalError("the client punched a hole"));
}

template <size_t fd_count>
absl::StatusOr<std::unique_ptr<Transport>> AttachFake(std::vector<base::Fd>&& fds, const Geometry& geometry,
                                                      const PeerIdentity&) {
  if (fds.size() != fd_count || geometry != kFakeGeometry) return absl::InternalError("not the fake that was offered");
  return std::make_unique<FakeTransport>(std::move(fds));
}

inline absl::StatusOr<std::unique_ptr<Transport>> FailToAttach(std::vector<base::Fd>&&, const Geometry&,
                                                               const PeerIdentity&) {
  return absl::ResourceExhaustedError("no room to map");
}

// The rows of the tests; best first.
inline constexpr std::array<TransportRow, 7> kRows{{
    {.name = "one", .bit = 3, .offer = &OfferFake<1>, .attach = &AttachFake<1>},
    {.name = "four", .bit = 5, .offer = &OfferFake<4>, .attach = &AttachFake<4>},
    {.name = "none", .bit = 30, .offer = &OfferFake<0>, .attach = &AttachFake<0>},
    {.name = "nooffer", .bit = 7, .offer = &FailToOffer, .attach = &AttachFake<1>},
    {.name = "noattach", .bit = 8, .offer = &OfferFake<1>, .attach = &FailToAttach},
    {.name = "noaccept", .bit = 9, .offer = &OfferAndFailToAccept, .attach = &AttachFake<1>},
    {.name = "blockable", .bit = 10, .traits = kWantsTrust, .offer = &OfferFake<1>, .attach = &AttachFake<1>},
}};

inline Address Parse(absl::string_view text) {
  return ParseAddress(text, kRows).value();
}
inline Address FdAddress(base::Fd fd) {
  return Parse("fd:" + std::to_string(fd.Release()));
}

inline ConnectParams Client() {
  return {.deadline = Soon(), .terms = {.max_message_size = 100, .max_calls_in_flight = 10}, .transports = kRows};
}

inline ServeParams Server() {
  ServeParams params{.terms = {.max_message_size = 200, .max_calls_in_flight = 20}, .server_id = 1, .connection_id = 2};
  for (const TransportRow& row : kRows) params.transports.push_back(&row);
  return params;
}

inline bool WaitReadable(int fd, int timeout_ms = 20'000) {
  pollfd item{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&item, 1, timeout_ms) == 1;
}

// Steps whenever the socket is readable, as a server does.
inline absl::StatusOr<Connection> Finish(base::Fd socket, ServeParams params) {
  const auto handshake = ServerHandshake::Start(std::move(socket), std::move(params));
  for (;;) {
    switch (handshake->Step()) {
      case ServerHandshake::Progress::kDone:
        return handshake->Take();
      case ServerHandshake::Progress::kFailed:
        return handshake->error();
      case ServerHandshake::Progress::kSucceeded:
        return absl::AbortedError("a successor has taken the socket");
      case ServerHandshake::Progress::kWaiting:
        if (!WaitReadable(handshake->fd())) return absl::DeadlineExceededError("the client said nothing");
    }
  }
}

// Takes one connection from a listener and shakes hands.
inline absl::StatusOr<Connection> AcceptOne(const Listener& listener, ServeParams params = Server()) {
  WaitReadable(listener.fd());
  base::Fd socket(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return base::ErrnoStatus("accept");
  return Finish(std::move(socket), std::move(params));
}

}  // namespace nearcall::transport::testing
