// SPDX-License-Identifier: Apache-2.0
#include "client_commands.h"

#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "latency.h"
#include "progress_bar.h"

namespace search {

namespace {

v1::FindRequest MakeFindRequest(absl::string_view query, uint32_t max_hits) {
  v1::FindRequest request;
  request.set_query(query.data(), query.size());
  request.set_max_hits(max_hits);
  return request;
}

v1::AddRequest MakeAddRequest(const std::string& path, std::string text) {
  v1::AddRequest request;
  request.set_path(AbsolutePath(path));
  request.set_text(std::move(text));
  return request;
}

void PrintHit(const v1::Hit& hit, std::ostream& out) {
  out << hit.path() << ":" << hit.line() << ": " << hit.excerpt() << "\n";
}

absl::Status NoHits(absl::string_view query) {
  return absl::NotFoundError(absl::StrCat("no file holds all of: ", query));
}

double Mebibytes(size_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

// One thread's share of a bench.
struct BenchShare {
  Latencies latencies;
  absl::Status status;
};

template <typename Call>
BenchShare RunShare(size_t calls, Call call) {
  BenchShare share;
  for (size_t i = 0; i < calls && share.status.ok(); ++i) {
    const absl::Time start = absl::Now();
    share.status = call();
    share.latencies.Add(absl::Now() - start);
  }
  return share;
}

BenchShare AskAgainAndAgain(const v1::Search::Stub& stub, absl::string_view query, const BenchOptions& options) {
  const nearcall::CallOptions calls{.stop_token = options.stop_token};
  if (query.empty()) {
    return RunShare(options.calls, [&, reply = v1::StatsReply()]() mutable { return stub.Stats({}, &reply, calls); });
  }
  const v1::FindRequest request = MakeFindRequest(query, options.max_hits);
  return RunShare(options.calls, [&, reply = v1::FindReply()]() mutable { return stub.Find(request, &reply, calls); });
}

}  // namespace

absl::Status PrintHits(const v1::Search::Stub& stub, absl::string_view query, size_t max_hits, std::ostream& out,
                       const nearcall::CallOptions& options) {
  v1::ScanRequest request;
  request.set_query(query.data(), query.size());
  const auto scan = stub.Scan(request, options);
  size_t hits = 0;
  v1::Hit hit;
  while (scan->Read(&hit)) {
    PrintHit(hit, out);
    out << std::flush;  // seen when it is found, also through a pipe
    if (++hits == max_hits) {
      scan->Cancel();  // the server need not look for more
      out << "the first " << hits << " files\n";
      return absl::OkStatus();
    }
  }
  if (absl::Status status = scan->Finish(); !status.ok()) return status;
  if (hits == 0) return NoHits(query);
  out << hits << " files\n";
  return absl::OkStatus();
}

absl::Status PrintBestHits(const v1::Search::Stub& stub, absl::string_view query, uint32_t max_hits, std::ostream& out,
                           const nearcall::CallOptions& options) {
  const absl::StatusOr<v1::FindReply> reply = stub.Find(MakeFindRequest(query, max_hits), options);
  if (!reply.ok()) return reply.status();
  if (reply->hits().empty()) return NoHits(query);
  for (const v1::Hit& hit : reply->hits()) PrintHit(hit, out);
  out << reply->hits_size() << " of " << reply->matching_files() << " files\n";
  return absl::OkStatus();
}

absl::Status AddFiles(const v1::Search::Stub& stub, const FileList& files, size_t max_file_bytes, std::ostream& out,
                      std::ostream* terminal, const nearcall::CallOptions& options) {
  const absl::Time start = absl::Now();
  absl::StatusOr<v1::UploadReply> reply;
  {
    ProgressBar progress(terminal, files.bytes);
    reply = Upload(stub, files, max_file_bytes, progress, options);
  }
  if (!reply.ok()) return reply.status();
  out << absl::StrFormat("added %d files (%d of them replaced, %d unchanged), %d words, %d bytes in %.2f s\n",
                         reply->files(), reply->replaced(), reply->unchanged(), reply->words(), reply->bytes(),
                         absl::ToDoubleSeconds(absl::Now() - start));
  return absl::OkStatus();
}

absl::Status Load(const std::shared_ptr<nearcall::Channel>& channel, absl::string_view query, const std::string& root,
                  const TreeLimits& limits, const LoadOptions& options, std::ostream& out) {
  std::vector<v1::AddRequest> files;
  const absl::StatusOr<TreeSummary> tree = ReadTree(root, limits, [&](const std::string& path, std::string text) {
    files.push_back(MakeAddRequest(path, std::move(text)));
    return absl::OkStatus();
  });
  if (!tree.ok()) return tree.status();
  if (files.empty()) return absl::NotFoundError(absl::StrCat("there is no text file in ", root));
  if (!tree->complete) out << "only the first " << Mebibytes(limits.max_total_bytes) << " MiB of " << root << "\n";
  absl::StatusOr<LoadReport> report = MeasureLoad(channel, query, files, options);
  if (!report.ok()) return report.status();
  report->Print(out);
  return absl::OkStatus();
}

absl::Status Reindex(const v1::Search::Stub& stub, std::ostream& out, const nearcall::CallOptions& options) {
  const absl::StatusOr<v1::ReindexReply> reply = stub.Reindex({}, options);
  if (!reply.ok()) return reply.status();
  out << "indexed " << reply->indexed() << " files, removed " << reply->removed() << "\n";
  return absl::OkStatus();
}

absl::Status PrintStats(const v1::Search::Stub& stub, std::ostream& out, const nearcall::CallOptions& options) {
  const absl::StatusOr<v1::StatsReply> reply = stub.Stats({}, options);
  if (!reply.ok()) return reply.status();
  out << absl::StrFormat("%d files, %d lines, %d different words, %.1f MiB, %d streams\n", reply->files(),
                         reply->lines(), reply->distinct_words(), Mebibytes(reply->text_bytes()), reply->streams());
  return absl::OkStatus();
}

absl::Status Bench(const v1::Search::Stub& stub, absl::string_view query, const BenchOptions& options,
                   std::ostream& out) {
  std::vector<BenchShare> shares(options.threads);
  const absl::Time start = absl::Now();
  {
    std::vector<std::jthread> threads;
    for (BenchShare& share : shares) threads.emplace_back([&] { share = AskAgainAndAgain(stub, query, options); });
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  Latencies all;
  for (const BenchShare& share : shares) {
    if (!share.status.ok()) return share.status;
    all.Merge(share.latencies);
  }
  out << absl::StrFormat("%d calls by %d threads: %s, %.0f calls/s\n", all.size(), options.threads, all.Summary(),
                         static_cast<double>(all.size()) / seconds);
  return absl::OkStatus();
}

}  // namespace search
