// SPDX-License-Identifier: Apache-2.0
#include "transport/transport_table.h"

#include <utility>

#include "transport/fifo/fifo_rendezvous.h"
#include "transport/mq/mq_offer.h"
#include "transport/pipe/pipe_offer.h"
#include "transport/shm/shm_offer.h"
#include "transport/sysv/sysv_offer.h"

namespace nearcall::transport {

namespace {

// Where it does not matter who the peer is.
template <auto offer>
absl::StatusOr<std::unique_ptr<TransportOffer>> Offer(const TransportConfig& config, const PeerIdentity& /*client*/) {
  return offer(config);
}
template <auto attach>
absl::StatusOr<std::unique_ptr<Transport>> Attach(std::vector<base::Fd>&& fds, const Geometry& geometry,
                                                  const PeerIdentity& /*server*/) {
  return attach(std::move(fds), geometry);
}

constexpr TransportRow kTransports[] = {
    {.name = "shm", .bit = 0, .offer = &Offer<shm::OfferShm>, .attach = &Attach<shm::AttachShm>},
    {.name = "mq", .bit = 1, .offer = &Offer<mq::OfferMq>, .attach = &Attach<mq::AttachMq>},
    {.name = "pipe",
     .bit = 2,
     .traits = kWantsTrust,
     .offer = &Offer<pipe::OfferPipe>,
     .attach = &Attach<pipe::AttachPipe>},
    {.name = "sysv",
     .bit = 3,
     .traits = kWantsTrust | kOnlyByName | kNoDescriptors,
     .offer = &sysv::OfferSysv,
     .attach = &sysv::AttachSysv,
     .sweep = &sysv::SweepSysv},
    {.name = "fifo",
     .bit = 4,
     .traits = kOnlyByName | kNoDescriptors,
     .sweep = &fifo::SweepNames,
     .listen = &fifo::ListenAtFifo,
     .dial = &fifo::DialFifo},
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
