// SPDX-License-Identifier: Apache-2.0

// The three messages of the handshake, and the control messages after it.
#include <array>
#include <vector>

#include "base/check.h"
#include "fuzz/fuzz_input.h"
#include "transport/rendezvous/control_message.h"
#include "transport/rendezvous/hello.h"

namespace nearcall::fuzz {

void Run(Input input) {
  const std::span<const std::byte> rest = input.TakeBytes(4096);
  const std::vector<std::byte> bytes(rest.begin(), rest.end());
  if (const auto hello = transport::DecodeClientHello(bytes); hello.ok()) {
    const auto again = transport::DecodeClientHello(transport::Encode(*hello));
    NEARCALL_CHECK(again.ok() && again->transports == hello->transports && again->features == hello->features);
  }
  if (const auto hello = transport::DecodeServerHello(bytes); hello.ok()) {
    const auto again = transport::DecodeServerHello(transport::Encode(*hello));
    NEARCALL_CHECK(again.ok() && again->status.code() == hello->status.code() && again->geometry == hello->geometry);
  }
  transport::DecodeAck(bytes).status().IgnoreError();
  if (bytes.size() == transport::kControlMessageSize) {
    transport::ControlBytes control;
    std::copy(bytes.begin(), bytes.end(), control.begin());
    if (const auto message = transport::DecodeControl(control)) {
      const auto again = transport::DecodeControl(transport::EncodeControl(*message));
      NEARCALL_CHECK(again && again->call_id == message->call_id && again->progress == message->progress);
    }
  }
}

}  // namespace nearcall::fuzz
