// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/fd.h"
#include "fuzz/echo_streams.h"
#include "nearcall/channel.h"
#include "nearcall/server.h"
#include "transport/transport_table.h"
#include "unit/rpc/fake_service.h"

namespace nearcall::fuzz {

// A real server within this process, on inherited sockets and where transports meet that have none, and a bystander
// that must be served whatever another client does. What the methods do that do not stream is said by their request:
//
//   "w..."  waits until the call is cancelled      "g..."  answers with kGrown bytes
//   "d..."  gives back the descriptors that came   else: the request again
class Victim {
 public:
  Victim();
  ~Victim();

  static constexpr size_t kGrown = 100'000;  // more than a transport holds
  // Handlers of the first run where the reading thread is, those of the second on threads of their own.
  static constexpr size_t kMethods = 2;

  uint64_t method_id(size_t index) const { return service_.method(index).id; }
  // Those of EchoStreams.
  const internal::MethodInfo& streaming_method(size_t index) const { return streams_.method(index); }
  // What a client may send of a stream before anything of it is read.
  static constexpr size_t kWindow = 2000;

  // One end of a connected socket of which the server holds the other; no handshake yet.
  int Connect();
  // The same over a transport without a socket: where to connect.
  std::string AddressOf(const transport::TransportRow& row);

  // Lets the client of the last Connect() pass descriptors, which a new kernel refuses for the server.
  void PermitDescriptors();

  // Ends the process if the bystander is not served.
  void CheckBystander();

  // Ends the process unless all is soon as it was before the last Connect(): the client's calls have ended, its
  // connection and descriptors are gone.
  void CheckNothingLeft();

 private:
  absl::Status Handle(ServerContext& context, const rpc::testing::Bytes& request, rpc::testing::Bytes& reply);
  bool AllGone() const;

  rpc::testing::FakeService service_{"fuzz.Victim", {"fuzz.Victim/Inline", "fuzz.Victim/MayBlock"}};
  std::atomic<int> running_{0};  // handlers
  EchoStreams streams_;
  std::string directory_;  // of the FIFOs
  std::unique_ptr<Server> server_;
  std::shared_ptr<Channel> bystander_;
  size_t descriptors_ = 0;  // before the last Connect()
  base::Fd server_end_;     // of the last Connect(), until it is asked whether anything is left
};

}  // namespace nearcall::fuzz
