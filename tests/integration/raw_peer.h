// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "transport/rendezvous.h"
#include "transport_under_test.h"
#include "wire/header.h"

// Peers that shake hands as they should and then do as they like.
namespace nearcall::integration {

// A connected Unix-domain SOCK_SEQPACKET socket to the server at `path`, without any handshake.
base::Fd ConnectRaw(const std::string& path);

// Whether the other end hangs up, within a long time.
bool HangsUp(int socket);

// A message from `socket`, within a long time; empty if the other end hangs up.
std::vector<std::byte> Receive(int socket);
void Send(int socket, std::span<const std::byte> bytes);

// What both kinds of peers do with their connection.
class RawPeer {
 public:
  // The header of a correct frame of a whole message, the first one of the lane kNormal.
  wire::FrameHeader Header(wire::FrameKind kind, size_t payload_size) const;

  // Sends a frame with that header, right or wrong; the payload is zeros.
  void Send(const wire::FrameHeader& header);
  void Send(std::span<const std::byte> frame);

  // False if there is no room now.
  bool TrySend(const wire::FrameHeader& header);
  bool TrySend(std::span<const std::byte> frame);

  // Tells of it only if the peer has asked to be told: one that is in a handler is not rung.
  void SendInSilence(const wire::FrameHeader& header);

  // The header of the next frame that comes, within a long time.
  wire::FrameHeader Receive();

  // Whether the other end hangs up, within a long time.
  bool PeerHangsUp() const;
  // A control message, right or wrong.
  void SendControl(std::span<const std::byte> bytes) const;

  int control() const { return connection_.control.get(); }
  transport::Connection& connection() { return connection_; }

 protected:
  explicit RawPeer(transport::Connection connection) : connection_(std::move(connection)) {}

 private:
  bool TryWrite(std::span<const std::byte> frame);

  transport::Connection connection_;
};

class RawClient : public RawPeer {
 public:
  explicit RawClient(absl::string_view address,
                     transport::SessionTerms terms = {.max_message_size = 1 << 20, .max_calls_in_flight = 16},
                     std::span<const transport::TransportRow> transports = transport::Transports(),
                     uint64_t features = 0);
};

// A server's name, and the handshake with one client at a time.
class RawDoor {
 public:
  explicit RawDoor(absl::string_view address);

  // A client, before any handshake; and his socket.
  transport::Newcomer Accept();
  base::Fd AcceptSocket();

  // A client that has shaken hands, over the transport under test or another row of that name. `max_descriptors`: that
  // it may send with a message; zero: there is no side socket.
  transport::Connection Serve(const transport::TransportRow& row = TransportUnderTest(), uint8_t max_descriptors = 0);

 private:
  std::unique_ptr<transport::Listener> listener_;
};

class RawServer : public RawPeer {
 public:
  explicit RawServer(RawDoor& door, const transport::TransportRow& row = TransportUnderTest(),
                     uint8_t max_descriptors = 0)
      : RawPeer(door.Serve(row, max_descriptors)) {}
};

}  // namespace nearcall::integration
