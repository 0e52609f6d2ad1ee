// SPDX-License-Identifier: Apache-2.0
#include "snapshot.h"

#include <algorithm>
#include <map>

namespace nearcall::tools {

namespace {

using stats::v1::Bucket;
using stats::v1::GetResponse;
using stats::v1::Histogram;
using stats::v1::Method;

// (What a server says is not believed: nothing becomes less than nothing.)
uint64_t Less(uint64_t now, uint64_t before) {
  return now - std::min(now, before);
}

const Method* Find(const GetResponse& stats, const std::string& name) {
  for (const Method& method : stats.methods()) {
    if (method.name() == name) return &method;
  }
  return nullptr;
}

using Buckets = std::map<uint64_t, Bucket>;  // by from_ns

Buckets BucketsOf(const Histogram& latency) {
  Buckets buckets;
  for (const Bucket& bucket : latency.buckets()) buckets[bucket.from_ns()] = bucket;
  return buckets;
}

void Put(const Buckets& buckets, Histogram& latency) {
  latency.clear_buckets();
  for (const auto& [from, bucket] : buckets) {
    if (bucket.count() != 0) *latency.add_buckets() = bucket;
  }
}

void Subtract(const Histogram& before, Histogram& now) {
  Buckets buckets = BucketsOf(now);
  for (const Bucket& bucket : before.buckets()) {
    const auto found = buckets.find(bucket.from_ns());
    if (found != buckets.end()) found->second.set_count(Less(found->second.count(), bucket.count()));
  }
  now.set_sum_ns(Less(now.sum_ns(), before.sum_ns()));
  Put(buckets, now);
}

void Subtract(const Method& before, Method& now) {
  now.set_begun(Less(now.begun(), before.begun()));
  now.set_refused(Less(now.refused(), before.refused()));
  now.set_bytes_received(Less(now.bytes_received(), before.bytes_received()));
  now.set_bytes_sent(Less(now.bytes_sent(), before.bytes_sent()));
  now.set_elements_received(Less(now.elements_received(), before.elements_received()));
  now.set_elements_sent(Less(now.elements_sent(), before.elements_sent()));
  for (stats::v1::Ended& ended : *now.mutable_ended()) {
    for (const stats::v1::Ended& earlier : before.ended()) {
      if (earlier.code() == ended.code()) ended.set_count(Less(ended.count(), earlier.count()));
    }
  }
  Subtract(before.latency(), *now.mutable_latency());
}

}  // namespace

bool IsOwn(const Method& method) {
  return method.name() == "nearcall.stats.v1.Stats/Get";
}

GetResponse Since(const GetResponse& before, const GetResponse& now) {
  const stats::v1::Server& earlier = before.server();
  GetResponse since = now;
  if (earlier.pid() != now.server().pid() || earlier.uptime_ns() >= now.server().uptime_ns()) return since;
  stats::v1::Server& server = *since.mutable_server();
  server.set_uptime_ns(server.uptime_ns() - earlier.uptime_ns());
  server.set_cpu_user_ns(std::max<int64_t>(0, server.cpu_user_ns() - earlier.cpu_user_ns()));
  server.set_cpu_system_ns(std::max<int64_t>(0, server.cpu_system_ns() - earlier.cpu_system_ns()));
  for (Method& method : *since.mutable_methods()) {
    if (const Method* const its = Find(before, method.name())) Subtract(*its, method);
  }
  return since;
}

uint64_t CountEnded(const Method& method) {
  uint64_t count = 0;
  for (const stats::v1::Ended& ended : method.ended()) count += ended.count();
  return count;
}

uint64_t CountFailed(const Method& method) {
  uint64_t count = 0;
  for (const stats::v1::Ended& ended : method.ended()) count += ended.code() == 0 ? 0 : ended.count();
  return count;
}

double Percentile(const Histogram& latency, double share) {
  double all = 0;
  for (const Bucket& bucket : latency.buckets()) all += static_cast<double>(bucket.count());
  double left = all * share;
  double last = 0;
  for (const Bucket& bucket : latency.buckets()) {
    const double count = static_cast<double>(bucket.count());
    const double from = static_cast<double>(bucket.from_ns());
    last = static_cast<double>(bucket.below_ns());
    if (count > 0 && left <= count) return from + (last - from) * left / count;
    left -= count;
  }
  return last;
}

void Merge(const Histogram& more, Histogram& latency) {
  Buckets buckets = BucketsOf(latency);
  for (const Bucket& bucket : more.buckets()) {
    const auto [there, is_new] = buckets.emplace(bucket.from_ns(), bucket);
    if (!is_new) there->second.set_count(there->second.count() + bucket.count());
  }
  latency.set_sum_ns(latency.sum_ns() + more.sum_ns());
  Put(buckets, latency);
}

}  // namespace nearcall::tools
