// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

namespace nearcall::plugin {

// What streams of a method, and whether anything comes back; named as in nearcall::internal::MethodKind.
enum Kind { kUnary, kClientStreaming, kServerStreaming, kBidiStreaming, kOneWay, kKinds };

// How a class has the methods of one kind; null where it has none.
struct MethodTemplate {
  const char* declaration = nullptr;
  const char* definition = nullptr;
  const char* run = nullptr;  // of a class that serves: the function that runs them
};

// A class within that of a service. It has a method of the same name for each method of the service, if it has a
// template for its kind.
struct ClassTemplate {
  const char* text;
  const char* name;
  const char* doc;
  const char* streams_doc;  // more, where the service has methods that stream
  const char* one_way_doc;  // more, where it has one-way methods
  bool serves;
  bool suspends;  // its methods are coroutines
  MethodTemplate methods[kKinds];
};

// In the order in which they are generated.
std::span<const ClassTemplate> ClassTemplates();

// What the classes for each style have in common.
extern const char kStubClass[];
extern const char kServiceClass[];

// Those for coroutines, in coroutine_templates.cc.
extern const ClassTemplate kCoStub;
extern const ClassTemplate kCoService;

}  // namespace nearcall::plugin
