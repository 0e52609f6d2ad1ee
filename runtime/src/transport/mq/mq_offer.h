// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "transport/mq/queue_size.h"
#include "transport/transport_table.h"

namespace nearcall::transport::mq {

// The server's side: makes both queues, of the size that ChooseQueueSize() gives for config.expected_clients. Passes
// the write end of the queue to the server and the read end of the queue to the client, in this order; the geometry is
// {messages, message size, 0, 0}. Errors as CreateQueue().
absl::StatusOr<std::unique_ptr<TransportOffer>> OfferMq(const TransportConfig& config);

// The same with queues of a given size.
absl::StatusOr<std::unique_ptr<TransportOffer>> OfferMqOfSize(const QueueSize& size);

// The client's side: takes what OfferMq() passes.
absl::StatusOr<std::unique_ptr<Transport>> AttachMq(std::vector<base::Fd>&& fds, const Geometry& geometry);

}  // namespace nearcall::transport::mq
