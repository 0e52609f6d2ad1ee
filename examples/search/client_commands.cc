// SPDX-License-Identifier: Apache-2.0
#include "client_commands.h"

#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "latency.h"
#include "uploader.h"

namespace search {

namespace {

v1::FindRequest MakeFindRequest(absl::string_view query, uint32_t max_hits) {
  v1::FindRequest request;
  request.set_query(query.data(), query.size());
  request.set_max_hits(max_hits);
  return request;
}

// The server knows a file by its absolute path, from wherever it is added.
v1::AddRequest MakeAddRequest(const std::string& path, std::string text) {
  std::error_code error;
  const std::string absolute = std::filesystem::absolute(path, error).lexically_normal().string();
  v1::AddRequest request;
  request.set_path(error ? path : absolute);
  request.set_text(std::move(text));
  return request;
}

double Mebibytes(size_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

// Waits for the last replies first.
absl::Status FinishAndPrint(Uploader& uploader, absl::Time start, std::ostream& out) {
  if (absl::Status status = uploader.Finish(); !status.ok()) return status;
  const Uploader::Totals totals = uploader.totals();
  out << absl::StrFormat("added %d files (%d of them replaced, %d unchanged), %.1f MiB in %.2f s\n", totals.files,
                         totals.replaced, totals.unchanged, Mebibytes(totals.bytes),
                         absl::ToDoubleSeconds(absl::Now() - start));
  return absl::OkStatus();
}

// Calls `visit` with each text file of a tree; says if those were not all.
absl::Status ForEachFile(const std::string& root, const TreeLimits& limits, std::ostream& out,
                         absl::FunctionRef<absl::Status(v1::AddRequest)> visit) {
  const absl::StatusOr<TreeSummary> tree = ReadTree(root, limits, [&](const std::string& path, std::string text) {
    return visit(MakeAddRequest(path, std::move(text)));
  });
  if (!tree.ok()) return tree.status();
  if (tree->files == 0) return absl::NotFoundError(absl::StrCat("there is no text file in ", root));
  if (!tree->complete) out << "only the first " << Mebibytes(limits.max_total_bytes) << " MiB of " << root << "\n";
  return absl::OkStatus();
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
  if (query.empty()) {
    return RunShare(options.calls, [&, reply = v1::StatsReply()]() mutable { return stub.Stats({}, &reply); });
  }
  const v1::FindRequest request = MakeFindRequest(query, options.max_hits);
  return RunShare(options.calls, [&, reply = v1::FindReply()]() mutable { return stub.Find(request, &reply); });
}

}  // namespace

absl::Status PrintHits(const v1::Search::Stub& stub, absl::string_view query, uint32_t max_hits, std::ostream& out) {
  const absl::StatusOr<v1::FindReply> reply = stub.Find(MakeFindRequest(query, max_hits));
  if (!reply.ok()) return reply.status();
  if (reply->hits().empty()) return absl::NotFoundError(absl::StrCat("no file holds all of: ", query));
  for (const v1::Hit& hit : reply->hits()) {
    out << hit.path() << ":" << hit.line() << ": " << hit.excerpt() << "\n";
  }
  out << reply->hits_size() << " of " << reply->matching_files() << " files\n";
  return absl::OkStatus();
}

absl::Status AddFiles(const v1::Search::AsyncStub& stub, const std::vector<std::string>& paths, size_t max_file_bytes,
                      std::ostream& out) {
  const absl::Time start = absl::Now();
  Uploader uploader(stub);
  for (const std::string& path : paths) {
    absl::StatusOr<std::string> text = ReadTextFile(path, max_file_bytes);
    if (!text.ok()) return text.status();
    if (absl::Status status = uploader.Send(MakeAddRequest(path, *std::move(text))); !status.ok()) return status;
  }
  return FinishAndPrint(uploader, start, out);
}

absl::Status AddTree(const v1::Search::AsyncStub& stub, const std::string& root, const TreeLimits& limits,
                     std::ostream& out) {
  const absl::Time start = absl::Now();
  Uploader uploader(stub);
  const auto send = [&](const v1::AddRequest& request) { return uploader.Send(request); };
  if (absl::Status status = ForEachFile(root, limits, out, send); !status.ok()) return status;
  return FinishAndPrint(uploader, start, out);
}

absl::Status Load(const std::shared_ptr<nearcall::Channel>& channel, absl::string_view query, const std::string& root,
                  const TreeLimits& limits, const LoadOptions& options, std::ostream& out) {
  std::vector<v1::AddRequest> files;
  const auto keep = [&](v1::AddRequest request) {
    files.push_back(std::move(request));
    return absl::OkStatus();
  };
  if (absl::Status status = ForEachFile(root, limits, out, keep); !status.ok()) return status;
  absl::StatusOr<LoadReport> report = MeasureLoad(channel, query, files, options);
  if (!report.ok()) return report.status();
  report->Print(out);
  return absl::OkStatus();
}

absl::Status Reindex(const v1::Search::Stub& stub, std::ostream& out) {
  const absl::StatusOr<v1::ReindexReply> reply = stub.Reindex({});
  if (!reply.ok()) return reply.status();
  out << "indexed " << reply->indexed() << " files, removed " << reply->removed() << "\n";
  return absl::OkStatus();
}

absl::Status PrintStats(const v1::Search::Stub& stub, std::ostream& out) {
  const absl::StatusOr<v1::StatsReply> reply = stub.Stats({});
  if (!reply.ok()) return reply.status();
  out << absl::StrFormat("%d files, %d lines, %d different words, %.1f MiB\n", reply->files(), reply->lines(),
                         reply->distinct_words(), Mebibytes(reply->text_bytes()));
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
