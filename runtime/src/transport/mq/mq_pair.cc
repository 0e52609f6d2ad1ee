// SPDX-License-Identifier: Apache-2.0
#include "transport/mq/mq_pair.h"

#include "transport/mq/mq_offer.h"

namespace nearcall::transport::mq {

absl::StatusOr<TransportPair> MakeMqPair(const QueueSize& size) {
  return MakePair(OfferMqOfSize(size), &AttachMq);
}

}  // namespace nearcall::transport::mq
