// SPDX-License-Identifier: Apache-2.0
#include "bench/subject.h"

namespace nearcall::bench {

bool HasGrpc() {
  return false;
}
std::unique_ptr<Subject> MakeGrpc(const SubjectParams&) {
  return nullptr;
}
std::unique_ptr<Subject> MakeGrpcPut(const SubjectParams&) {
  return nullptr;
}
std::unique_ptr<Subject> MakeGrpcDown(const SubjectParams&) {
  return nullptr;
}
std::unique_ptr<Subject> MakeGrpcFrames(const SubjectParams&) {
  return nullptr;
}
void ServeGrpc(const SubjectParams&) {}
void ServeGrpcFrames(const SubjectParams&) {}
void ServeGrpcQueues(const SubjectParams&) {}

}  // namespace nearcall::bench
