// SPDX-License-Identifier: Apache-2.0
#include "service.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace search {

namespace {

constexpr uint32_t kDefaultHits = 10;
constexpr uint32_t kMaxHits = 1000;

}  // namespace

absl::Status SearchService::Find(nearcall::ServerContext&, const v1::FindRequest& request, v1::FindReply& reply) {
  const uint32_t max_hits = request.max_hits() == 0 ? kDefaultHits : std::min(request.max_hits(), kMaxHits);
  absl::StatusOr<Index::Result> result = index_.Find(request.query(), max_hits);
  if (!result.ok()) return result.status();
  reply.set_matching_files(result->matching_files);
  for (Index::Hit& found : result->hits) {
    v1::Hit& hit = *reply.add_hits();
    hit.set_path(std::move(found.path));
    hit.set_line(found.line);
    hit.set_excerpt(std::move(found.excerpt));
    hit.set_matching_lines(found.matching_lines);
    hit.set_score(found.score);
  }
  return absl::OkStatus();
}

absl::Status SearchService::Add(nearcall::ServerContext&, const v1::AddRequest& request, v1::AddReply& reply) {
  const absl::StatusOr<Index::Change> change = index_.Put(request.path(), request.text());
  if (!change.ok()) return change.status();
  reply.set_replaced(*change == Index::Change::kReplaced);
  reply.set_unchanged(*change == Index::Change::kNone);
  return absl::OkStatus();
}

absl::Status SearchService::Reindex(nearcall::ServerContext& context, const v1::ReindexRequest&,
                                    v1::ReindexReply& reply) {
  const auto reading = library_.Read([&](absl::string_view) { return !context.IsCancelled(); });
  if (!reading.ok()) return reading.status();
  reply.set_indexed(reading->indexed);
  reply.set_removed(reading->removed);
  return absl::OkStatus();
}

absl::Status SearchService::Stats(nearcall::ServerContext&, const v1::StatsRequest&, v1::StatsReply& reply) {
  const Index::Stats stats = index_.GetStats();
  reply.set_files(stats.files);
  reply.set_lines(stats.lines);
  reply.set_distinct_words(stats.distinct_words);
  reply.set_text_bytes(stats.text_bytes);
  return absl::OkStatus();
}

}  // namespace search
