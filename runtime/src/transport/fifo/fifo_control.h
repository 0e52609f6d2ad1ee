// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "transport/control.h"
#include "transport/fifo/line.h"

namespace nearcall::transport::fifo {

// The control messages of a connection. They come while its transport is read, and its end when the peer holds its
// FIFO no more. Who is to read may be away: a client that has no calls, or a server's thread that is in a handler. So
// the sink is rung when something has come, as if the peer had (ControlMessage::Kind::kRing); not for each frame.
class FifoControl final : public InBandControl {
 public:
  explicit FifoControl(std::shared_ptr<Line> line) : line_(std::move(line)) {}

  absl::StatusOr<std::unique_ptr<ControlChannel>> Watch(std::weak_ptr<ControlSink> sink,
                                                        base::Reactor* reactor) override;

 private:
  const std::shared_ptr<Line> line_;
};

}  // namespace nearcall::transport::fifo
