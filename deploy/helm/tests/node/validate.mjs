// Reads custom resources (a JSON list) from standard input and prints, for each, what its CRD's schema objects to (a JSON
// list of lists). Run where node_modules lies.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const packages = {
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
  "keda.sh": "@kubernetes-models/keda",
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "external-secrets.io": "@kubernetes-models/external-secrets",
};

async function objections(resource) {
  const [group] = resource.apiVersion.split("/");
  if (!packages[group]) return [`no schema is known for ${group}`];
  const path = join(process.cwd(), "node_modules", packages[group], resource.apiVersion, `${resource.kind}.js`);
  const { [resource.kind]: Kind } = await import(pathToFileURL(path));
  try {
    new Kind(resource).validate();
    return [];
  } catch (error) {
    return [error.message];
  }
}

const resources = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(await Promise.all(resources.map(objections))));
