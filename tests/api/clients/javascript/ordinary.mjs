// What a JavaScript program does with a cluster; prints one JSON object of what it saw.
// usage: node ordinary.mjs NAMESPACE     with KUBECONFIG set
import * as k8s from '@kubernetes/client-node';

const namespace = process.argv[2];
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const seen = {};

const made = await core.createNamespacedConfigMap({
  namespace, body: { metadata: { name: 'c' }, data: { a: '1' } },
});
seen.uid = typeof made.metadata.uid;
made.data.b = '2';
seen.replaced = (await core.replaceNamespacedConfigMap({ name: 'c', namespace, body: made })).data;
try {
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'c' } } });
} catch (error) {
  seen.again = error.code;
}

const labels = { app: 'web' };
await objects.create({
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace },
  spec: {
    replicas: 2, selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'nginx' }] } },
  },
});
const informer = k8s.makeInformer(
  config, `/apis/apps/v1/namespaces/${namespace}/deployments`,
  () => apps.listNamespacedDeployment({ namespace }),
);
await new Promise((resolve, reject) => {
  const look = (deployment) => deployment.status?.readyReplicas === 2 && resolve();
  informer.on('add', look);
  informer.on('update', look);
  informer.on('error', reject);
  informer.start();
});
await informer.stop();
const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=web' });
seen.phases = pods.items.map((pod) => pod.status.phase);

const patched = await objects.patch(
  { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace },
    spec: { replicas: 3 } },
  undefined, undefined, 'javascript', true, k8s.PatchStrategy.ServerSideApply,
);
seen.applied = [patched.spec.replicas, patched.metadata.managedFields.some(
  (entry) => entry.manager === 'javascript' && entry.operation === 'Apply')];
await core.deleteNamespacedConfigMap({ name: 'c', namespace });
console.log(JSON.stringify(seen));
process.exit(0);
