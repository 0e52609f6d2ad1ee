// SPDX-License-Identifier: Apache-2.0
#include "load.h"

#include <stop_token>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "bulk_adder.h"

namespace search {

namespace {

// Sends all files over and over, at least one, on a thread of its own, until it is stopped.
class BulkLoad {
 public:
  BulkLoad(const v1::Search::AsyncStub& stub, const std::vector<v1::AddRequest>& files,
           const nearcall::CallOptions& calls)
      : files_(files), adder_(stub, {}, calls), thread_([this](const std::stop_token& stop) { Run(stop); }) {}

  // Megabytes per second that the server has taken.
  absl::StatusOr<double> Stop() {
    thread_.request_stop();
    thread_.join();
    if (absl::Status status = adder_.Finish(); !status.ok()) return status;
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
    return static_cast<double>(adder_.totals().bytes) / 1e6 / seconds;
  }

 private:
  void Run(const std::stop_token& stop) {
    size_t next = 0;
    do {
      if (!adder_.Send(files_[next]).ok()) return;  // Finish tells what went wrong
      next = (next + 1) % files_.size();
    } while (!stop.stop_requested());
  }

  const std::vector<v1::AddRequest>& files_;
  const absl::Time start_ = absl::Now();
  BulkAdder adder_;
  std::jthread thread_;  // last: it uses the others
};

absl::Status SendOnce(const v1::Search::AsyncStub& stub, const std::vector<v1::AddRequest>& files,
                      const nearcall::CallOptions& calls) {
  BulkAdder adder(stub, {}, calls);
  for (const v1::AddRequest& file : files) {
    if (!adder.Send(file).ok()) break;  // Finish tells what went wrong
  }
  return adder.Finish();
}

// A question that always has the same answer.
class Question {
 public:
  static absl::StatusOr<Question> Make(const v1::Search::Stub& stub, absl::string_view query, uint32_t max_hits,
                                       const nearcall::CallOptions& calls) {
    Question question(stub, calls);
    question.request_.set_query(query.data(), query.size());
    question.request_.set_max_hits(max_hits);
    const absl::StatusOr<v1::FindReply> reply = stub.Find(question.request_, calls);
    if (!reply.ok()) return reply.status();
    question.hits_ = reply->matching_files();
    return question;
  }

  uint64_t hits() const { return hits_; }

  // At least once.
  absl::Status AskFor(absl::Duration duration, Latencies& latencies) const {
    v1::FindReply reply;
    absl::Time start = absl::Now();
    const absl::Time end = start + duration;
    absl::Time answered;
    do {
      if (absl::Status status = stub_.Find(request_, &reply, calls_); !status.ok()) return status;
      answered = absl::Now();
      latencies.Add(answered - std::exchange(start, answered));
      if (reply.matching_files() != hits_) {
        return absl::DataLossError(absl::StrCat(reply.matching_files(), " files hold all of '", request_.query(),
                                                "', and before it were ", hits_));
      }
    } while (answered < end);
    return absl::OkStatus();
  }

 private:
  Question(const v1::Search::Stub& stub, const nearcall::CallOptions& calls) : stub_(stub), calls_(calls) {}

  v1::Search::Stub stub_;
  nearcall::CallOptions calls_;
  v1::FindRequest request_;
  uint64_t hits_ = 0;
};

}  // namespace

absl::StatusOr<LoadReport> MeasureLoad(const std::shared_ptr<nearcall::Channel>& channel, absl::string_view query,
                                       const std::vector<v1::AddRequest>& files, const LoadOptions& options) {
  if (files.empty()) return absl::InvalidArgumentError("a load needs at least one file to send");
  const v1::Search::AsyncStub bulk(channel);
  const nearcall::CallOptions calls{.stop_token = options.stop_token};
  if (absl::Status status = SendOnce(bulk, files, calls); !status.ok()) return status;
  const absl::StatusOr<Question> question = Question::Make(v1::Search::Stub(channel), query, options.max_hits, calls);
  if (!question.ok()) return question.status();

  LoadReport report{.transport = channel->transport(), .hits = question->hits(), .alone = {}, .beside = {}};
  if (absl::Status status = question->AskFor(options.alone, report.alone); !status.ok()) return status;
  BulkLoad load(bulk, files, calls);
  const absl::Status asked = question->AskFor(options.beside, report.beside);
  const absl::StatusOr<double> rate = load.Stop();
  if (!asked.ok()) return asked;
  if (!rate.ok()) return rate.status();
  report.megabytes_per_second = *rate;
  return report;
}

void LoadReport::Print(std::ostream& out) {
  out << absl::StrFormat("%-9s  %5s  %12s  %12s  %12s  %12s  %10s\n", "transport", "hits", "p50 alone", "p99 alone",
                         "p50 beside", "p99 beside", "bulk load");
  out << absl::StrFormat("%-9s  %5d  %12s  %12s  %12s  %12s  %5.0f MB/s\n", transport, hits,
                         Microseconds(alone.Percentile(50)), Microseconds(alone.Percentile(99)),
                         Microseconds(beside.Percentile(50)), Microseconds(beside.Percentile(99)),
                         megabytes_per_second);
}

}  // namespace search
