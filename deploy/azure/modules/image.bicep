// The image that the API runs now. Another machine, or CI, does not know it from azd's own environment.
param token string
param exists bool

var placeholders = 'mcr.microsoft.com/k8se/'

resource api 'Microsoft.App/containerApps@2025-01-01' existing = if (exists) {
  name: 'api-${token}'
}

var current = exists ? api!.properties.template.containers[0].image : ''

output image string = startsWith(current, placeholders) ? '' : current
