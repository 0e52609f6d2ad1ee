// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"
#include "nearcall/server_context.h"
#include "transport/transport.h"

namespace nearcall::transport {

struct Address;
struct ConnectParams;
class Dial;
class Listener;
struct SocketAccess;

// What the two ends of one transport agree on, carried in the server's hello; only the transport knows what it means.
using Geometry = std::array<uint64_t, 4>;

struct TransportConfig {
  size_t ring_size_bytes;       // per direction: a power of two (shm)
  size_t expected_clients = 1;  // that share what the kernel allows one user (mq)
  bool socket_bell = false;     // the client waits in epoll, and asks for what it takes (shm)
};

// The server's side of a data plane that the client has not taken yet.
class TransportOffer {
 public:
  virtual ~TransportOffer() = default;

  virtual Geometry geometry() const = 0;

  // To be passed to the client, at most 4 (and the side socket behind them). They stay owned by the offer.
  virtual std::vector<int> fds() const = 0;

  // Once the client has said that it holds its end: makes sure that it is as it must be (the last seals) and gives the
  // server's end. Once. INTERNAL if the client has tampered with it, RESOURCE_EXHAUSTED without memory. Waits for no
  // lock that the client can hold.
  virtual absl::StatusOr<std::unique_ptr<Transport>> Accept() = 0;
};

// What is to be known of a transport that is not as most are.
enum Trait : uint32_t {
  // Whoever has the other end can hold a lock of the kernel's that this side takes too, for as long as he likes, or use
  // up what all programs of the machine share: offered to this process's own user and root only, unless ServerOptions
  // says otherwise.
  kWantsTrust = 1,
  // Never meant by a bare name: who wants it says so.
  kOnlyByName = 2,
  // Its lanes overtake each other without a bound: letters with descriptors do not go beside its frames.
  kNoDescriptors = 4,
};

// A row for each transport, best first. The only place that knows their names.
struct TransportRow {
  absl::string_view name;  // as in an address
  uint8_t bit;             // in the hello's set of transports: 1 << bit
  uint32_t traits = 0;     // a set of Trait
  absl::StatusOr<std::unique_ptr<TransportOffer>> (*offer)(const TransportConfig& config,
                                                           const PeerIdentity& client) = nullptr;
  // The client's end. Checks each descriptor before it uses it: INTERNAL if the server sent what it should not, and
  // then they are still there: who knows what closing them takes.
  absl::StatusOr<std::unique_ptr<Transport>> (*attach)(std::vector<base::Fd>&& fds, const Geometry& geometry,
                                                       const PeerIdentity& server) = nullptr;
  // When a server starts: removes what servers that were killed have left. None: nothing is ever left.
  void (*sweep)() = nullptr;
  // Where its two sides meet, if that is not the socket of a name: in place of Listener::Bind() and Dial::Start()
  // (rendezvous.h), of which `dial` never blocks. Then offer and attach are null, and nobody asks for it at a socket.
  absl::StatusOr<std::unique_ptr<Listener>> (*listen)(const Address& address, const SocketAccess& access) = nullptr;
  std::unique_ptr<Dial> (*dial)(Address address, ConnectParams params) = nullptr;

  bool MeetsAtSocket() const { return listen == nullptr; }

  bool has(Trait trait) const { return (traits & trait) != 0; }

  // Whether an address means it that begins with `transport`, or, empty, is a bare name.
  bool IsMeantBy(absl::string_view transport) const {
    return transport.empty() ? !has(kOnlyByName) : name == transport;
  }
};

std::span<const TransportRow> Transports();

// nullptr if there is none of that name.
const TransportRow* FindTransport(absl::string_view name);

}  // namespace nearcall::transport
