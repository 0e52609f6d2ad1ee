// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/fd.h"
#include "session/inbox.h"
#include "session/outbox.h"
#include "transport/connection.h"
#include "transport/loopback/loopback.h"
#include "transport/rendezvous/control_message.h"
#include "unit/session/frames.h"
#include "unit/session/spy_transport.h"
#include "wire/envelope.h"

namespace nearcall::session::testing {

// Long enough for any machine: only what has been lost takes so long.
inline base::SteadyNs Patience() {
  return base::AfterNow(absl::Seconds(30));
}

constexpr uint32_t kClientId = 11;
constexpr uint32_t kServerId = 22;
constexpr uid_t kUser = 5678;

// A connection within this process, as a handshake would make it: a tiny transport, and a real control socket.
struct Link {
  transport::Connection client;
  transport::Connection server;
  SpyTransport* client_spy;
  SpyTransport* server_spy;
};

struct LinkOptions {
  size_t max_frame_size = wire::kHeaderSize + 8;
  size_t capacity_frames = 2;
  uint32_t max_calls_in_flight = 16;
  uint32_t max_message_size = 1 << 20;
  uint32_t stream_window = 0;
};

inline Link MakeLink(const LinkOptions& options = {}) {
  transport::TransportPair pair =
      *transport::MakeLoopbackPair({.capacity_bytes = options.capacity_frames * options.max_frame_size,
                                    .max_frame_size = options.max_frame_size,
                                    .server_waits_in_epoll = false});
  auto client = std::make_unique<SpyTransport>(std::move(pair.client));
  auto server = std::make_unique<SpyTransport>(std::move(pair.server));
  int sockets[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets), 0);
  const transport::SessionTerms terms = {.max_message_size = options.max_message_size,
                                         .max_calls_in_flight = options.max_calls_in_flight,
                                         .stream_window = options.stream_window};
  Link link;
  link.client_spy = client.get();
  link.server_spy = server.get();
  link.client.transport = std::move(client);
  link.server.transport = std::move(server);
  link.client.control.Reset(sockets[0]);
  link.server.control.Reset(sockets[1]);
  link.client.local_id = link.server.peer_id = kClientId;
  link.client.peer_id = link.server.local_id = kServerId;
  link.client.peer = link.server.peer = {.pid = 1234, .uid = kUser, .gid = 9};
  link.client.peer_terms = link.server.peer_terms = terms;
  return link;
}

// A message as a test sees it.
struct Received {
  wire::FrameHeader header;
  std::string payload;
};

// One end of a link in the hand of a test: says and does what the test wants, right or wrong. Used by one thread.
class ScriptedPeer {
 public:
  ScriptedPeer(transport::Connection connection, size_t max_message_size = 1 << 20)
      : connection_(std::move(connection)),
        transport_(*connection_.transport),
        outbox_(transport_, connection_.local_id),
        inbox_(transport_, connection_.peer_id, max_message_size) {}

  transport::Transport& transport() { return transport_; }
  Outbox& outbox() { return outbox_; }

  // The next message, which is waited for. Nothing if `until` passes, or the other side breaks the protocol.
  std::optional<Received> Receive(base::SteadyNs until = Patience()) {
    wire::Message message;
    for (;;) {
      switch (inbox_.Next(message)) {
        case Inbox::Event::kMessage:
          inbox_.Release();
          return Received{message.header, AsText(std::as_const(message.bytes).bytes())};
        case Inbox::Event::kBroken:
          ADD_FAILURE() << inbox_.error();
          return std::nullopt;
        case Inbox::Event::kEmpty:
          if (base::NowNs() >= until) return std::nullopt;
          if (!outbox_.Pump()) Sleep(transport::Transport::kFrames, until);
          break;
        default:
          inbox_.Release();
      }
    }
  }

  // Sends what fits now; the rest goes while Receive() waits, or with SendRest().
  void SendSome(const wire::FrameHeader& header, const std::string& text) {
    outbox_.Keep(Kept(header, text, transport_.max_frame_size()));
  }

  // Sends a message, and reads nothing until the other side has made room for all of it.
  void Send(const wire::FrameHeader& header, const std::string& text) {
    SendSome(header, text);
    SendRest();
  }

  void SendRest() {
    const base::SteadyNs until = Patience();
    while (!PumpAll(outbox_) && base::NowNs() < until) Sleep(transport::Transport::kRoom, until);
  }

  // Answers `request` in its lane.
  void Reply(const Received& request, const std::string& text) { Send(ReplyTo(request), text); }

  static wire::FrameHeader ReplyTo(const Received& request) {
    wire::FrameHeader header = Header(wire::FrameKind::kReply, request.header.call_id, request.header.priority);
    header.method_id = request.header.method_id;
    return header;
  }

  // The server goes away without having started `request`.
  void TurnAway(const Received& request) {
    const absl::Status status = absl::UnavailableError("going away");
    const std::string envelope = *wire::EncodeReplyEnvelope({.status = status, .exec_state = ExecState::kNotStarted});
    wire::FrameHeader header = ReplyTo(request);
    header.status = static_cast<uint8_t>(status.code());
    header.envelope_size = static_cast<uint32_t>(envelope.size());
    header.flags |= wire::kEnvelope;
    Send(header, envelope);
  }

  void SendControl(const transport::ControlMessage& message) {
    const transport::ControlBytes bytes = transport::EncodeControl(message);
    EXPECT_EQ(::send(connection_.control.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  // The next control message; nothing if the other side hangs up, or none comes.
  std::optional<transport::ControlMessage> ReceiveControl(base::SteadyNs until = Patience()) {
    transport::ControlBytes bytes;
    while (base::NowNs() < until) {
      const ssize_t size = ::recv(connection_.control.get(), bytes.data(), bytes.size(), 0);
      if (size == static_cast<ssize_t>(bytes.size())) return transport::DecodeControl(bytes);
      if (size >= 0) return std::nullopt;
      ::poll(nullptr, 0, 1);
    }
    return std::nullopt;
  }

  // Whether the other side hangs up.
  bool IsHungUpOn(base::SteadyNs until = Patience()) {
    do {
      pollfd socket = {.fd = connection_.control.get(), .events = POLLRDHUP, .revents = 0};
      if (::poll(&socket, 1, until == 0 ? 0 : 100) == 1) return true;
    } while (base::NowNs() < until);
    return false;
  }

  void HangUp() { connection_.control.Reset(); }

 private:
  void Sleep(uint32_t interest, base::SteadyNs until) {
    if (outbox_.has_waiting()) interest |= transport::Transport::kRoom;
    const int bell = transport_.wait_fds().bell;
    if (!transport_.Arm(interest, transport_.max_frame_size())) {
      if (bell < 0) {
        transport_.Wait(until);
      } else {
        pollfd item = {.fd = bell, .events = POLLIN, .revents = 0};
        ::poll(&item, 1, static_cast<int>(std::max<int64_t>(0, until - base::NowNs()) / 1'000'000));
        transport_.ClearBell();
      }
    }
    transport_.Disarm();
  }

  transport::Connection connection_;
  transport::Transport& transport_;
  Outbox outbox_;
  Inbox inbox_;
};

}  // namespace nearcall::session::testing
