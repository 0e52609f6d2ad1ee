// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transport/connection.h"
#include "transport/transport_table.h"

namespace nearcall::transport {

// The three messages of the handshake, client hello, server hello and acknowledgement; see PROTOCOL.md. Bytes in, bytes
// out: no system call. The first eight bytes (magic, major, minor) keep their place in every version to come, so that
// any two versions can at least tell each other that they do not match.

inline constexpr uint16_t kProtocolMajor = 1;
inline constexpr uint16_t kProtocolMinor = 0;

inline constexpr size_t kMaxRefusalTextSize = 256;

// In place of a transport's: the server's listening socket, which a successor takes over. Wanted alone.
inline constexpr uint8_t kListenerBit = 31;

struct ClientHello {
  uint64_t features = 0;
  uint32_t transports = 0;  // a set: 1 << TransportRow::bit, or kListenerBit alone
  SessionTerms terms = {};
};

struct ServerHello {
  absl::Status status = {};  // not OK: a refusal, and nothing below counts
  uint64_t features = 0;
  uint8_t transport_bit = 0;  // TransportRow::bit
  uint8_t fd_count = 0;
  SessionTerms terms = {};
  uint32_t server_id = 0;
  uint32_t connection_id = 0;
  Geometry geometry = {};
};

std::vector<std::byte> Encode(const ClientHello& hello);
std::vector<std::byte> Encode(const ServerHello& hello);
// The client's last word: OK, or why it could not take what the server passed (the code alone).
std::vector<std::byte> EncodeAck(absl::StatusCode code);

// FAILED_PRECONDITION for another major version or other message layouts; INTERNAL for what is no such message.
absl::StatusOr<ClientHello> DecodeClientHello(std::span<const std::byte> bytes);
absl::StatusOr<ServerHello> DecodeServerHello(std::span<const std::byte> bytes);
absl::StatusOr<absl::StatusCode> DecodeAck(std::span<const std::byte> bytes);

}  // namespace nearcall::transport
