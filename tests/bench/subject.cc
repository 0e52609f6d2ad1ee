// SPDX-License-Identifier: Apache-2.0
#include "bench/subject.h"

#include <malloc.h>

#include <iostream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "bench/worker.h"

namespace nearcall::bench {

namespace {

struct Kind {
  const char* name;
  std::unique_ptr<Subject> (*make)(const SubjectParams& params);
  void (*serve)(const SubjectParams& params);  // nullptr: without a server
};

constexpr Kind kKinds[] = {
    {"line", MakeFloor, nullptr},
    {"semaphore", MakeFloor, nullptr},
    {"epoll", MakeFloor, nullptr},
    {"pipe", MakeFloor, nullptr},
    {"mq", MakeFloor, nullptr},
    {"socket", MakeFloor, nullptr},
    {"protobuf", MakeFloor, nullptr},
    {"memcpy", MakeBulkFloor, nullptr},
    {"pipe frames", MakeBulkFloor, nullptr},
    {"mq frames", MakeBulkFloor, nullptr},
    {"raw connect", MakeRawConnect, nullptr},
    {"raw", MakeRaw, ServeRaw},
    {"nearcall", MakeNearcall, ServeNearcall},
    {"connect", MakeConnect, ServeNearcall},
    {"crowd", MakeCrowd, ServeNearcall},
    {"chat", MakeStream, ServeNearcall},
    {"down", MakeStream, ServeNearcall},
    {"coroutine", MakeStream, ServeCoroutines},
    {"coroutine chat", MakeStream, ServeCoroutines},
    {"coroutine down", MakeStream, ServeCoroutines},
    {"event queue", MakeQueue, ServeNearcall},
    {"event queue, blocking", MakeQueue, ServeNearcall},
    {"doze", MakeDoze, ServeNearcall},
    {"doze async", MakeDoze, ServeNearcall},
    {"urgent", MakeUrgent, ServeNearcall},
    {"loaded semaphore", MakeLoadedSemaphore, ServeNearcall},
    {"look", MakeLook, nullptr},
    {"fill and look", MakeLook, nullptr},
    {"put", MakePut, ServePut},
    {"put fresh", MakePut, ServePut},
    {"put again", MakePut, ServePut},
    {"put pool", MakePut, ServePut},
    {"put pool again", MakePut, ServePut},
    {"lend", MakePut, ServePut},
    {"decode", MakeFrames, ServeFrames},
    {"decode pool", MakeFrames, ServeFrames},
    {"decode message", MakeFrames, ServeFrames},
    {"watch", MakeFrames, ServeFrames},
    {"watch pool", MakeFrames, ServeFrames},
    {"watch message", MakeFrames, ServeFrames},
    {"grpc", MakeGrpc, ServeGrpc},
    {"grpc put", MakeGrpcPut, ServeGrpc},
    {"grpc queues", MakeGrpc, ServeGrpcQueues},
    {"grpc down", MakeGrpcDown, ServeGrpc},
    {"grpc decode", MakeGrpcFrames, ServeGrpcFrames},
    {"grpc watch", MakeGrpcFrames, ServeGrpcFrames},
};

const Kind& Find(const std::string& name) {
  for (const Kind& kind : kKinds) {
    if (kind.name == name) return kind;
  }
  Die(absl::StrCat("there is no subject ", name));
}

}  // namespace

std::unique_ptr<Subject> MakeSubject(const SubjectParams& params) {
  return Find(params.subject).make(params);
}

bool HasServer(const std::string& subject) {
  return Find(subject).serve != nullptr;
}

void KeepHeap() {
  for (const int threshold : {M_TRIM_THRESHOLD, M_MMAP_THRESHOLD}) {
    NEARCALL_CHECK(::mallopt(threshold, std::numeric_limits<int>::max()) == 1);
  }
}

void Serve(const SubjectParams& params) {
  if (params.keep_heap) KeepHeap();
  Pin(params.placement.server_cpu);
  Find(params.subject).serve(params);
}

void ReadyUntilEndOfInput() {
  std::cout << "ready" << std::endl;
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
}

}  // namespace nearcall::bench
