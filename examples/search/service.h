// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "index.h"
#include "library.h"
#include "search.nearcall.pb.h"

namespace search {

// Answers calls from the index. Thread-safe.
class SearchService final : public v1::Search::Service {
 public:
  // Both outlive the service.
  SearchService(Index& index, Library& library) : index_(index), library_(library) {}

  absl::Status Find(nearcall::ServerContext& context, const v1::FindRequest& request, v1::FindReply& reply) override;
  absl::Status Add(nearcall::ServerContext& context, const v1::AddRequest& request, v1::AddReply& reply) override;
  absl::Status Reindex(nearcall::ServerContext& context, const v1::ReindexRequest& request,
                       v1::ReindexReply& reply) override;
  absl::Status Stats(nearcall::ServerContext& context, const v1::StatsRequest& request, v1::StatsReply& reply) override;

 private:
  Index& index_;
  Library& library_;
};

}  // namespace search
