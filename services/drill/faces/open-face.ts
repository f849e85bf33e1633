import type { FaceName } from "../world/world.ts";
import { ApiFace } from "./api-face.ts";
import { EtcdFace } from "./etcd-face.ts";
import type { Face, FaceOptions } from "./face.ts";
import { RestFace } from "./rest-face.ts";

export function openFace(name: FaceName, options: FaceOptions): Face {
  switch (name) {
    case "api":
      return new ApiFace(options);
    case "rest":
      return new RestFace(options);
    case "etcd":
      return new EtcdFace(options);
  }
}
