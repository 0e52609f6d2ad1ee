// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

#include "index.h"
#include "library.h"
#include "search.nearcall.pb.h"
#include "staging_room.h"
#include "watches.h"

namespace search {

// Answers calls from the index. Thread-safe.
class SearchService final : public v1::Search::Service {
 public:
  // Both outlive the service.
  SearchService(Index& index, Library& library)
      : index_(index), library_(library), staging_room_(index.max_text_bytes()) {}

  absl::Status Find(nearcall::ServerContext& context, const v1::FindRequest& request, v1::FindReply& reply) override;
  absl::Status Scan(nearcall::ServerContext& context, const v1::ScanRequest& request,
                    nearcall::ServerWriter<v1::Hit>& hits) override;
  absl::Status Add(nearcall::ServerContext& context, const v1::AddRequest& request, v1::AddReply& reply) override;
  absl::Status Upload(nearcall::ServerContext& context, nearcall::ServerReader<v1::UploadPiece>& pieces,
                      v1::UploadReply& reply) override;
  absl::Status Watch(nearcall::ServerContext& context,
                     nearcall::ServerReaderWriter<v1::WatchRequest, v1::WatchReply>& stream) override;
  absl::Status Reindex(nearcall::ServerContext& context, const v1::ReindexRequest& request,
                       v1::ReindexReply& reply) override;
  absl::Status Stats(nearcall::ServerContext& context, const v1::StatsRequest& request, v1::StatsReply& reply) override;

 private:
  Index& index_;
  Library& library_;
  StagingRoom staging_room_;
  Watches watches_;
  std::atomic<size_t> streams_ = 0;
};

}  // namespace search
