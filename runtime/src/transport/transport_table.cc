// SPDX-License-Identifier: Apache-2.0
#include "transport/transport_table.h"

#include "transport/mq/mq_offer.h"
#include "transport/pipe/pipe_offer.h"
#include "transport/shm/shm_offer.h"

namespace nearcall::transport {

namespace {

constexpr TransportRow kTransports[] = {
    {.name = "shm", .bit = 0, .offer = &shm::OfferShm, .attach = &shm::AttachShm},
    {.name = "mq", .bit = 1, .offer = &mq::OfferMq, .attach = &mq::AttachMq},
    {.name = "pipe", .bit = 2, .blockable = true, .offer = &pipe::OfferPipe, .attach = &pipe::AttachPipe},
};

}  // namespace

std::span<const TransportRow> Transports() {
  return kTransports;
}

const TransportRow* FindTransport(absl::string_view name) {
  for (const TransportRow& row : kTransports) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace nearcall::transport
