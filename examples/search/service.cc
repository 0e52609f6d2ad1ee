// SPDX-License-Identifier: Apache-2.0
#include "service.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "hit_message.h"
#include "staged_files.h"

namespace search {

namespace {

constexpr uint32_t kDefaultHits = 10;
constexpr uint32_t kMaxHits = 1000;

// One of the calls that stream, as long as its handler runs.
class Counted {
 public:
  explicit Counted(std::atomic<size_t>& count) : count_(count) { ++count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --count_; }

 private:
  std::atomic<size_t>& count_;
};

// What a handler returns when its client has gone: nobody hears it.
absl::Status NobodyWaits() {
  return absl::CancelledError("nobody waits for the answer any more");
}

}  // namespace

absl::Status SearchService::Find(nearcall::ServerContext&, const v1::FindRequest& request, v1::FindReply& reply) {
  const uint32_t max_hits = request.max_hits() == 0 ? kDefaultHits : std::min(request.max_hits(), kMaxHits);
  absl::StatusOr<Index::Result> result = index_.Find(request.query(), max_hits);
  if (!result.ok()) return result.status();
  reply.set_matching_files(result->matching_files);
  for (Index::Hit& found : result->hits) FillHit(std::move(found), *reply.add_hits());
  return absl::OkStatus();
}

// A client that is slow to read makes Write() wait, and one that has gone makes it false: nothing is sought for nobody.
absl::Status SearchService::Scan(nearcall::ServerContext& context, const v1::ScanRequest& request,
                                 nearcall::ServerWriter<v1::Hit>& hits) {
  const Counted counted(streams_);
  absl::StatusOr<Index::Scan> scan = Index::StartScan(request.query());
  if (!scan.ok()) return scan.status();
  const auto somebody_waits = [&] { return !context.IsCancelled(); };
  v1::Hit hit;
  while (std::optional<Index::Hit> found = index_.NextHit(*scan, somebody_waits)) {
    FillHit(*std::move(found), hit);
    if (!hits.Write(hit)) return NobodyWaits();
  }
  return absl::OkStatus();
}

absl::Status SearchService::Add(nearcall::ServerContext&, const v1::AddRequest& request, v1::AddReply& reply) {
  const absl::StatusOr<Index::Change> change = index_.Put(request.path(), request.text());
  if (!change.ok()) return change.status();
  if (*change != Index::Change::kNone) watches_.Offer(index_, request.path());
  reply.set_replaced(*change == Index::Change::kReplaced);
  reply.set_unchanged(*change == Index::Change::kNone);
  return absl::OkStatus();
}

absl::Status SearchService::Upload(nearcall::ServerContext& context, nearcall::ServerReader<v1::UploadPiece>& pieces,
                                   v1::UploadReply& reply) {
  const Counted counted(streams_);
  StagedFiles files(staging_room_);
  v1::UploadPiece piece;
  while (pieces.Read(&piece)) {
    // To return before the client has sent all tells it to stop: its Write() is false.
    if (absl::Status taken = files.Take(piece); !taken.ok()) return taken;
  }
  // Read() is false too if the client has given up: then nothing of it is to stay.
  if (context.IsCancelled()) return NobodyWaits();

  absl::StatusOr<Index::Texts> texts = files.Finish();
  if (!texts.ok()) return texts.status();
  reply.set_files(texts->size());
  const absl::StatusOr<Index::Changes> changes = index_.PutAll(*std::move(texts));
  if (!changes.ok()) return changes.status();
  for (const std::string& path : changes->changed) watches_.Offer(index_, path);
  reply.set_words(changes->words);
  reply.set_bytes(changes->bytes);
  reply.set_replaced(changes->replaced);
  reply.set_unchanged(changes->unchanged);
  return absl::OkStatus();
}

// One thread for each direction: hits are sent while the next change of words is waited for. What ends the call, the
// client's half-close, its cancel or its death, ends Read(); with the handler the other thread is stopped, too.
absl::Status SearchService::Watch(nearcall::ServerContext& context,
                                  nearcall::ServerReaderWriter<v1::WatchRequest, v1::WatchReply>& stream) {
  const Counted counted(streams_);
  search::Watch watch(watches_);
  const std::jthread telling([&](const std::stop_token& stop) {
    watch.Tell(stop, [&](const v1::WatchReply& reply) { return stream.Write(reply); });
  });
  absl::Status status;
  v1::WatchRequest change;
  while (status.ok() && stream.Read(&change)) status = watch.Change(change);
  return context.IsCancelled() ? NobodyWaits() : status;
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
  reply.set_streams(streams_);
  return absl::OkStatus();
}

}  // namespace search
